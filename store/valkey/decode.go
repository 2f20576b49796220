package valkey

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/invalidation/valkey"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
	"cacheproxy/store/coding"

	"github.com/cespare/xxhash/v2"
)

var (
	// ErrGarbled says that a value is damaged, or was not written by this program.
	ErrGarbled = errors.New("decode item: it is damaged")
	// errUnusable says that a value is not damaged, but cannot be used here: it is of another version of this program or another storage key, too
	// old, or at a position that is not known here.
	errUnusable = errors.New("decode item: it is of no use here")
)

const (
	// maxNames bounds the header fields that select one variant.
	maxNames = 1 << 10
	// maxSelections bounds the selections of one URL, each of which is a look-up. The store keeps fewer.
	maxSelections = 16
)

// stored is a value whose front has been read and checked.
type stored struct {
	at    fleet.LogPosition
	flags byte
	key   string
	rest  reader
}

// open checks the checksum and the signature of a value, and reads its front, which must be that of the storage key. Without a signer, a signature is not
// verified. Nothing of the item is read before all are right. The error is ErrGarbled, errUnusable or valkey.ErrSignature.
func open(value []byte, key string, signer *valkey.Signer) (stored, error) {
	if len(value) < stampEnd+checksumed || string(value[:len(magic)]) != magic {
		return stored{}, ErrGarbled
	}
	end := len(value) - checksumed
	if v := value[len(magic)]; v != version && v != versionSigned {
		return stored{}, errUnusable
	}
	if xxhash.Sum64(value[:end]) != binary.BigEndian.Uint64(value[end:]) {
		return stored{}, ErrGarbled
	}
	var signature []byte
	if value[len(magic)] == versionSigned {
		if end < stampEnd+valkey.SignatureSize {
			return stored{}, ErrGarbled
		}
		end -= valkey.SignatureSize
		signature = value[end : end+valkey.SignatureSize]
	}
	if err := signer.VerifyCopy(signature, value[:end]); err != nil {
		return stored{}, err
	}
	s := stored{flags: value[historyAt-1], key: key, rest: reader{left: value[stampEnd:end]}}
	copy(s.at.History[:], value[historyAt:seqAt])
	s.at.Seq, s.at.Nonce = binary.BigEndian.Uint64(value[seqAt:]), binary.BigEndian.Uint64(value[nonceAt:])
	if s.flags&^(flagVariants|flagPacked|flagAsked) != 0 {
		return stored{}, ErrGarbled
	}
	if s.rest.text() != key {
		if s.rest.failed {
			return stored{}, ErrGarbled
		}
		return stored{}, errUnusable
	}
	return s, nil
}

// copy reads a copy, of which head and body have at most most bytes. The caller has to set its stamp.
func (s *stored) copy(most int64) (*store.Copy, error) {
	r := &s.rest
	status := r.number(999)
	life := r.life()
	vary, asked := r.texts(), ""
	if s.flags&flagAsked != 0 {
		asked = r.text()
	}
	members := r.members()
	digest := r.word()
	held := httpcache.Coding(r.byte())
	length := r.number(uint64(most))
	head, body := r.number(uint64(most)), r.number(uint64(most))
	if r.failed || head+body > uint64(most) {
		return nil, ErrGarbled
	}
	plain := r.left
	if s.flags&flagPacked != 0 {
		var err error
		if plain, err = coding.Decode(httpcache.Zstd, plain, int(head+body)); err != nil {
			return nil, ErrGarbled
		}
	}
	if uint64(len(plain)) != head+body {
		return nil, ErrGarbled
	}
	// The head is a string of its own, and the body a slice: neither keeps the value alive.
	c, err := store.Restore(int(status), string(plain[:head]), exact(plain[head:]), held, int(length))
	if err != nil {
		return nil, ErrGarbled
	}
	c.SetLife(life)
	c.SetVary(vary)
	c.SetAsked(asked)
	c.SetMembers(members)
	c.Digest = digest
	return c, nil
}

// exact returns a clone of b without spare capacity.
func exact(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

// variants reads variants.
func (s *stored) variants() (*store.Variants, error) {
	r := &s.rest
	v := &store.Variants{}
	for range r.number(maxSelections) {
		if names := r.texts(); !r.failed {
			v.Selections = append(v.Selections, names)
		}
	}
	for range r.number(store.MaxVariants) {
		shared := r.number(uint64(len(s.key)))
		if text := r.text(); !r.failed {
			v.Keys = append(v.Keys, s.key[:shared]+text)
		}
	}
	if r.failed || len(r.left) > 0 || len(v.Selections) == 0 || slices.ContainsFunc(v.Selections, unsorted) {
		return nil, ErrGarbled
	}
	return v, nil
}

func unsorted(names []string) bool { return !slices.IsSorted(names) }

// reader reads the parts of a value. Once a part is missing or invalid, failed is set, and all further parts are zero.
type reader struct {
	left   []byte
	failed bool
}

func (r *reader) fail() {
	r.failed, r.left = true, nil
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.left)) {
		r.fail()
		return nil
	}
	taken := r.left[:n]
	r.left = r.left[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) word() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// number reads a number, which must be at most most.
func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.left)
	if n <= 0 || v > most {
		r.fail()
		return 0
	}
	r.left = r.left[n:]
	return v
}

func (r *reader) text() string { return string(r.take(r.number(math.MaxInt32))) }

// texts reads a list of names; nil: the list is empty.
func (r *reader) texts() []string {
	var texts []string
	for range r.number(maxNames) {
		if s := r.text(); !r.failed {
			texts = append(texts, s)
		}
	}
	return texts
}

func (r *reader) members() []invalidation.ID {
	n := r.number(policy.MaxMembers)
	if n == 0 || n > uint64(len(r.left)/8) {
		r.failed = r.failed || n > 0
		return nil
	}
	members := make([]invalidation.ID, n)
	for i := range members {
		members[i] = invalidation.ID(r.word())
	}
	slices.Sort(members) // callers rely on the order, and the value may be another program's
	return members
}

func (r *reader) time() time.Time {
	seconds, n := binary.Varint(r.left)
	if n <= 0 {
		r.fail()
		return time.Time{}
	}
	r.left = r.left[n:]
	return time.Unix(seconds, int64(r.number(999_999_999))).UTC()
}

func (r *reader) life() httpcache.Lifetime {
	l := httpcache.Lifetime{Date: r.time(), Received: r.time()}
	for _, d := range []*time.Duration{&l.InitialAge, &l.Fresh, &l.StaleWhileRevalidate, &l.StaleIfError, &l.Keep} {
		*d = time.Duration(r.number(math.MaxInt64))
	}
	flags := r.byte()
	l.MustRevalidate, l.NoCache = flags&lifeMustRevalidate != 0, flags&lifeNoCache != 0
	if flags&^(lifeMustRevalidate|lifeNoCache) != 0 || l.Keep > httpcache.MaxKeep {
		r.fail()
	}
	return l
}
