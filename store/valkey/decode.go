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
	// errUnusable says that a value is intact but cannot serve here: another version of this program wrote the value,
	// or the value is for another storage key, or too old or too new.
	errUnusable = errors.New("decode item: it is of no use here")
)

const (
	// maxNames bounds the header fields that select one variant.
	maxNames = 1 << 10
	// maxSelections bounds the selections of one URL, each of which costs a look-up. The store keeps fewer.
	maxSelections = 16
)

// stored is a value of which only the front has been read.
type stored struct {
	at    fleet.LogPosition
	flags byte
	key   string
	rest  reader
}

// open reads the front of a value. The value must belong to the storage key, and have the signature that the signer
// wants. Without a signer, open ignores a signature. No part of the item is read before checksum, signature and key are
// right.
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

// copy reads a copy with up to most bytes of head and body. The caller sets the stamp.
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
	// Head and body are allocated apart from the value, so that neither keeps the value in memory.
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

// exact copies b into a slice without spare capacity.
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

// reader splits a value into its parts. Once a part is missing, failed is set, and all methods return zero values.
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

// number reads a varint up to most.
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

// texts reads names. The result is nil for an empty Vary.
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
	slices.Sort(members) // the writer need not have sorted them
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
