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

// Sealer encrypts what clients have sent, credentials included, so that a reader of the server cannot read the
// requests. The first secret seals, and each secret opens. A Sealer is safe for concurrent use.
type Sealer struct {
	prefix string
	keys   []sealKey
}

type sealKey struct {
	aead cipher.AEAD
	name [4]byte // tells the secrets apart, and reveals nothing of them
	mac  []byte  // for identities
}

// errSealed says that none of the secrets opens the content.
var errSealed = errors.New("none of the secrets opens it")

// NewSealer makes a sealer from the secrets of a fleet. At least one is needed, each with enough randomness for a key.
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

// Seal encrypts content, and binds it to the id and key of its write.
func (s *Sealer) Seal(id, key string, content []byte) []byte {
	k := &s.keys[0]
	return k.aead.Seal(k.name[:], nil, content, s.bound(id, key))
}

// Open decrypts content that Seal has encrypted for the same id and key. The only error is errSealed.
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

// Identity identifies a write for later requests with the same idempotency key.
type Identity struct {
	Name    string // a MAC of the idempotency key and its scope
	Payload string // a MAC of the request that the key stands for
}

// Identities returns the identity of a write under each secret, beginning with the first secret. A write that was
// accepted under an earlier first secret is found by the identity under that secret. Identities need a secret, because
// their input can be guessed.
//
// client stands for the sender. Writes of senders that may be different clients are different writes, whatever their
// keys.
func (s *Sealer) Identities(w *Write, client, idempotencyKey string) []Identity {
	all := make([]Identity, 0, len(s.keys))
	mac := func(key, content []byte) string {
		h := hmac.New(sha256.New, key)
		_, _ = h.Write(content) // a hash returns no error
		return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
	}
	for _, k := range s.keys {
		all = append(all, Identity{mac(k.mac, w.scope(client, idempotencyKey)), mac(k.mac, w.payload())})
	}
	return all
}

// NewID returns an id that cannot be guessed: the id lets its holder see the state of the write.
func NewID() string { return rand.Text() }
