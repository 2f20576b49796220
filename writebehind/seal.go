package writebehind

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// Sealer keeps what clients have sent, credentials among it, from whoever can read the server. The first secret seals, and any of them
// opens. It is safe for concurrent use.
type Sealer struct {
	prefix string
	keys   []sealKey
}

type sealKey struct {
	aead cipher.AEAD
	name [4]byte // which of the secrets; says nothing of it
	mac  []byte  // for identities
}

// errSealed says that none of the secrets opens what is there.
var errSealed = errors.New("none of the secrets opens it")

// NewSealer is a sealer with the secrets of a fleet, of which there is one at least, each with enough randomness to be a key.
func NewSealer(prefix string, secrets []string) (*Sealer, error) {
	s := &Sealer{prefix: prefix}
	for _, secret := range secrets {
		derived, err := hkdf.Key(sha256.New, []byte(secret), nil, "cacheproxy write-behind "+prefix, 32+4+32)
		if err != nil {
			return nil, fmt.Errorf("derive key: %w", err)
		}
		block, err := aes.NewCipher(derived[:32])
		if err != nil {
			return nil, fmt.Errorf("make cipher: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("make cipher: %w", err)
		}
		s.keys = append(s.keys, sealKey{aead, [4]byte(derived[32:36]), derived[36:]})
	}
	if len(s.keys) == 0 {
		return nil, errors.New("seal writes: there is no secret")
	}
	return s, nil
}

// Seal closes content, which only opens as that of the write with this id and key.
func (s *Sealer) Seal(id, key string, content []byte) []byte {
	k := &s.keys[0]
	return k.aead.Seal(k.name[:], nil, content, s.bound(id, key))
}

// Open gives the content back. It fails with errSealed.
func (s *Sealer) Open(id, key string, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, errSealed
	}
	for _, k := range s.keys {
		if string(k.name[:]) != string(sealed[:4]) {
			continue
		}
		if content, err := k.aead.Open(nil, nil, sealed[4:], s.bound(id, key)); err == nil {
			return content, nil
		}
	}
	return nil, errSealed
}

func (s *Sealer) bound(id, key string) []byte {
	return appendFields(nil, "write", s.prefix, id, key)
}

// Identity is a write as others with the same idempotency key find it.
type Identity struct {
	Name    string // of the idempotency key and its scope
	Payload string // what it stands for
}

// Identities are those of a write under each of the secrets, the first first: a write that was accepted before the first secret took its
// place is found by its own. They need a secret, because what they are made of may be guessed.
//
// client stands for whoever sent it: of two that may be different clients, the writes are different ones, whatever their key.
func (s *Sealer) Identities(w *Write, client, idempotencyKey string) []Identity {
	all := make([]Identity, 0, len(s.keys))
	mac := func(key, content []byte) string {
		h := hmac.New(sha256.New, key)
		_, _ = h.Write(content) // a hash never fails
		return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
	}
	for _, k := range s.keys {
		all = append(all, Identity{mac(k.mac, w.scope(client, idempotencyKey)), mac(k.mac, w.payload())})
	}
	return all
}

// NewID is an id that nobody can guess: who knows it may see how far the write is.
func NewID() string { return rand.Text() }
