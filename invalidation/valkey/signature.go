package valkey

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
)

const (
	// SignatureSize is the length of a signature in bytes: HMAC-SHA-256, truncated to half (RFC 2104 §5). Forging a
	// signature takes a guess in 2^128 that only a running instance can check. Half the length halves the growth of
	// small copies.
	SignatureSize = 16
	// signatureWarnings is the pause between two lines in the log about signatures that do not fit: a writer of one
	// such copy can write thousands.
	signatureWarnings = time.Minute
)

// ErrSignature says that no instance with one of the secrets has written what was read from the server.
var ErrSignature = errors.New("signature is missing or wrong")

// SignerOptions are the parts of a Signer. Prefix and Log are required.
type SignerOptions struct {
	Prefix  string   // of every key: a signature of one fleet is worth nothing in another
	Secrets []string // the first signs, and any of them verifies. Empty: NewSigner returns nil
	Require bool     // missing signatures are refused; otherwise only wrong ones are
	Log     *slog.Logger
	// Observe is called when a verification has failed, with the operation verify. Nil: failures are not counted.
	Observe func(op string, took time.Duration, err error)
}

// Signer signs and verifies the data that instances pass each other through the server. The invariant: under Require,
// only data written by a holder of a secret makes a copy usable, changes a copy, or sets a mode. Signatures do not
// protect against deletion, reordering, and replay of signed data: docs/trust.md. A nil *Signer signs nothing, and
// accepts everything at no cost. A Signer is safe for concurrent use.
type Signer struct {
	options SignerOptions
	states  sync.Pool    // of *signing: the keyed states are not made anew for each signature
	failed  atomic.Int64 // count of failed verifications
	warned  atomic.Int64 // when the last failure was logged, in nanoseconds of Unix time; zero: never
}

// signing is the state that computes one signature.
type signing struct {
	front   []byte // signed before the content
	content hash.Hash
	keyed   []hash.Hash // one for each secret
	digest  [sha256.Size]byte
	sum     [sha256.Size]byte
}

// NewSigner makes a Signer, or returns nil where o has no secrets.
func NewSigner(o SignerOptions) *Signer {
	if len(o.Secrets) == 0 {
		return nil
	}
	s := &Signer{options: o}
	s.states.New = func() any {
		n := &signing{content: sha256.New()}
		for _, secret := range o.Secrets {
			n.keyed = append(n.keyed, hmac.New(sha256.New, []byte(secret)))
		}
		return n
	}
	return s
}

// SignCopy appends the signature of a copy in its form on the server, which holds the storage key and the position in
// the log. A nil signer appends nothing.
func (s *Signer) SignCopy(dst, value []byte) []byte {
	if s == nil {
		return dst
	}
	return s.sign(dst, "copy", nil, value)
}

// VerifyCopy fails with ErrSignature if value must not be used. An empty signature means that the copy has no
// signature.
func (s *Signer) VerifyCopy(signature, value []byte) error {
	if s == nil {
		return nil
	}
	return s.verify("copy", signature, nil, value)
}

// signRecord returns the signature of an entry. The signature covers the record, the nonce, which tells the entry
// from all others, and the log. The signature cannot cover the Seq, which the server chooses at the append. Empty
// without a signer.
func (s *Signer) signRecord(h fleet.History, nonce uint64, record []byte) string {
	if s == nil {
		return ""
	}
	return string(s.sign(make([]byte, 0, SignatureSize), "entry", place(h, nonce), record))
}

// entry reads an entry of the stream. An entry whose signature does not fit invalidates everything, like an entry
// that cannot be read: the members that it should invalidate are not known. entry returns no error for it, since
// errors stand for entries of another version.
func (s *Signer) entry(h fleet.History, seq, nonce uint64, record []byte, signature string) (invalidation.Record, error) {
	if s != nil && s.verify("entry", []byte(signature), place(h, nonce), record) != nil {
		everything, _ := invalidation.ParseRecord(seq, nonce, nil) // nil data makes a record that invalidates everything
		return everything, nil
	}
	return invalidation.ParseRecord(seq, nonce, record)
}

// keptSignature returns the signature of a record in its form beside the records that outlive the log. The nonce goes
// with the signature, since the record is kept without its nonce.
func keptSignature(nonce uint64, signature string) string {
	if signature == "" {
		return ""
	}
	return string(binary.BigEndian.AppendUint64(nil, nonce)) + signature
}

// kept reports whether a record that is kept beside the log may be used. Without Require every record may: instances
// without a secret write records and leave the signatures of earlier records beside them.
func (s *Signer) kept(h fleet.History, record, signature string) bool {
	if s == nil || !s.options.Require {
		return true
	}
	var nonce uint64
	if len(signature) >= 8 {
		nonce, signature = binary.BigEndian.Uint64([]byte(signature)), signature[8:]
	}
	return s.verify("entry", []byte(signature), place(h, nonce), []byte(record)) == nil
}

// signHeartbeat returns the signature of the server's data about an instance. The signature covers the log and the
// term, since the time for which an instance has held a lease counts only within them. Empty without a signer.
func (s *Signer) signHeartbeat(h fleet.History, p fleet.Peer) string {
	if s == nil {
		return ""
	}
	return string(s.sign(make([]byte, 0, SignatureSize), "heartbeat", h[:], heartbeat(p)))
}

// heartbeats lets an instance vouch for the log (fleet R16) only if it has signed its heartbeat. With a forged
// voucher an instance would take a lease before the lost entries are known. All other data of an unsigned heartbeat
// counts, since it only makes this instance wait. An instance of another version, or with other secrets, may hold a
// lease, and other instances must wait for that lease.
func (s *Signer) heartbeats(h fleet.History, live []fleet.Peer, signatures map[string]string) {
	if s == nil || !s.options.Require {
		return
	}
	for i, p := range live {
		if p.Held > 0 && s.verify("heartbeat", []byte(signatures[p.Name]), h[:], heartbeat(p)) != nil {
			live[i].Held = 0
		}
	}
}

// heartbeat returns the signed bytes of a heartbeat, as read back from the server.
func heartbeat(p fleet.Peer) []byte {
	return fmt.Appendf(nil, "%d:%d:%t:%d:%d:%08x %s", p.Beat, p.Applied, p.Owes, p.Lease.Milliseconds(), p.Held.Milliseconds(), p.Term, p.Name)
}

// place returns bytes that tell an entry from any other, in this log and in others.
func place(h fleet.History, nonce uint64) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(h[:]), nonce)
}

// take returns a state that has hashed all that is signed. Every part before content is preceded by its length, so
// that no two different inputs have the same bytes.
func (s *Signer) take(purpose string, front, content []byte) *signing {
	n := s.states.Get().(*signing)
	n.content.Reset()
	b := append(binary.AppendUvarint(n.front[:0], uint64(len(purpose))), purpose...)
	b = append(binary.AppendUvarint(b, uint64(len(s.options.Prefix))), s.options.Prefix...)
	n.front = append(binary.AppendUvarint(b, uint64(len(front))), front...)
	_, _ = n.content.Write(n.front) // a hash never fails
	_, _ = n.content.Write(content)
	n.content.Sum(n.digest[:0])
	return n
}

// mac returns the signature by one of the secrets. The content was digested before, once for all secrets, since
// digesting a large copy takes most of the time.
func (n *signing) mac(secret int) []byte {
	h := n.keyed[secret]
	h.Reset()
	_, _ = h.Write(n.digest[:])
	return h.Sum(n.sum[:0])[:SignatureSize]
}

func (s *Signer) sign(dst []byte, purpose string, front, content []byte) []byte {
	n := s.take(purpose, front, content)
	defer s.states.Put(n)
	return append(dst, n.mac(0)...)
}

func (s *Signer) verify(purpose string, signature, front, content []byte) error {
	if len(signature) == 0 && !s.options.Require {
		return nil
	}
	began := time.Now()
	if len(signature) == SignatureSize {
		n := s.take(purpose, front, content)
		defer s.states.Put(n)
		for i := range n.keyed {
			if subtle.ConstantTimeCompare(n.mac(i), signature) == 1 {
				return nil
			}
		}
	}
	s.tell(purpose, len(signature) == 0, began)
	return ErrSignature
}

// tell counts a failure, and logs at most one line in signatureWarnings.
func (s *Signer) tell(purpose string, missing bool, began time.Time) {
	if s.options.Observe != nil {
		s.options.Observe("verify", time.Since(began), ErrSignature)
	}
	failed, last := s.failed.Add(1), s.warned.Load()
	if last != 0 && began.UnixNano()-last < int64(signatureWarnings) || !s.warned.CompareAndSwap(last, began.UnixNano()) {
		return
	}
	s.options.Log.Error("what Valkey holds was not written by an instance that has one of valkey.secrets: a copy is a miss, an entry invalidates everything, a mode is not in force, an instance does not vouch for the log",
		"what", purpose, "missing", missing, "failed", failed)
}
