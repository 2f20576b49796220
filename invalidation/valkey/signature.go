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
	// SignatureSize is the length of a signature in bytes: HMAC-SHA-256, truncated to half (RFC 2104 §5). Forging one is a guess in
	// 2^128 that only a running instance can check, and half the bytes are half of what a small copy grows by.
	SignatureSize = 16
	// signatureWarnings is the pause between two lines in the log about signatures that do not fit: who can write one such copy can
	// write thousands.
	signatureWarnings = time.Minute
)

// ErrSignature says that what was read from the server was not written by an instance that has one of the secrets.
var ErrSignature = errors.New("signature is missing or wrong")

// SignerOptions is what a Signer works with. Prefix and Log are required.
type SignerOptions struct {
	Prefix  string   // of every key: what one fleet has signed is nothing in another
	Secrets []string // the first signs, and any of them verifies. Empty: there is no signer
	Require bool     // what has no signature is refused; otherwise only what has a wrong one
	Log     *slog.Logger
	// Observe is called when a verification has failed, with the operation verify. Nil: nobody counts.
	Observe func(op string, took time.Duration, err error)
}

// Signer signs what instances tell each other through the server, and verifies it. Its invariant: under Require, nothing that was not
// written by a holder of a secret makes a copy usable, changes one, or sets a mode. It says nothing of deletion, of order, and of what
// was signed and comes again: docs/trust.md. A nil *Signer signs nothing, and takes everything at no cost. It is safe for
// concurrent use.
type Signer struct {
	options SignerOptions
	states  sync.Pool    // of *signing: the keyed states are not made anew for each signature
	failed  atomic.Int64 // verifications
	warned  atomic.Int64 // when the last was told, in nanoseconds of Unix time; zero: never
}

// signing is what one signature is computed with.
type signing struct {
	front   []byte // what is signed before the content
	content hash.Hash
	keyed   []hash.Hash // one for each secret
	digest  [sha256.Size]byte
	sum     [sha256.Size]byte
}

// NewSigner is nil where there are no secrets.
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

// SignCopy appends the signature of a copy in its form on the server, which holds its storage key and its position in the log. Without
// a signer it appends nothing.
func (s *Signer) SignCopy(dst, value []byte) []byte {
	if s == nil {
		return dst
	}
	return s.sign(dst, "copy", nil, value)
}

// VerifyCopy fails with ErrSignature if value must not be used. An empty signature means that there is none.
func (s *Signer) VerifyCopy(signature, value []byte) error {
	if s == nil {
		return nil
	}
	return s.verify("copy", signature, nil, value)
}

// signRecord is the signature of an entry: of its record, of its nonce, by which it is told apart, and of the log that it is
// written to. Its Seq is the server's to choose when it is written, and cannot be covered. Empty without a signer.
func (s *Signer) signRecord(h fleet.History, nonce uint64, record []byte) string {
	if s == nil {
		return ""
	}
	return string(s.sign(make([]byte, 0, SignatureSize), "entry", place(h, nonce), record))
}

// entry reads an entry of the stream. One whose signature does not fit invalidates everything, as one that cannot be read does:
// what it would have invalidated is not known. As no such entry is of another version, there is no error.
func (s *Signer) entry(h fleet.History, seq, nonce uint64, record []byte, signature string) (invalidation.Record, error) {
	if s != nil && s.verify("entry", []byte(signature), place(h, nonce), record) != nil {
		everything, _ := invalidation.ParseRecord(seq, nonce, nil) // that there is nothing to read is the point
		return everything, nil
	}
	return invalidation.ParseRecord(seq, nonce, record)
}

// keptSignature is how the signature of a record stands beside the records that outlive the log. The nonce goes with it, since the
// record is kept without.
func keptSignature(nonce uint64, signature string) string {
	if signature == "" {
		return ""
	}
	return string(binary.BigEndian.AppendUint64(nil, nonce)) + signature
}

// kept reports whether a record that is kept beside the log may be heeded. Without Require every one is: instances without a secret
// write records and leave the signatures of earlier ones beside them.
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

// signHeartbeat is the signature of what the server keeps of an instance. It covers the log and the term, in which what an instance has
// held stays true. Empty without a signer.
func (s *Signer) signHeartbeat(h fleet.History, p fleet.Peer) string {
	if s == nil {
		return ""
	}
	return string(s.sign(make([]byte, 0, SignatureSize), "heartbeat", h[:], heartbeat(p)))
}

// heartbeats has no instance vouch for the log (fleet R16) that has not signed its heartbeat: a forged voucher would have a lease taken
// before what was lost is known. All else that a heartbeat says is heeded all the same, since it only has this instance wait: an instance
// of another version, or with other secrets, may hold a lease, and what keeps that one from using a copy is that it is waited for.
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

// heartbeat is what is signed of a heartbeat, as it comes back from the server.
func heartbeat(p fleet.Peer) []byte {
	return fmt.Appendf(nil, "%d:%d:%t:%d:%d:%08x %s", p.Beat, p.Applied, p.Owes, p.Lease.Milliseconds(), p.Held.Milliseconds(), p.Term, p.Name)
}

// place is what tells an entry apart from any other, of this log and of others.
func place(h fleet.History, nonce uint64) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(h[:]), nonce)
}

// take gets a state that has taken in what is signed. Everything before content has a length of its own, so that no two things that
// are signed have the same bytes.
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

// mac is the signature by one of the secrets. The content is digested before, once for all secrets: of a large copy that is what
// takes time.
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

// tell counts a failure, and says so in the log once in a while.
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
