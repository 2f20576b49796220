package writebehind

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// Partitions is into how many parts the keys are divided, each of which has one owner at a time. It is part of what is stored: another
// number would put a key where the writes before it are not.
const Partitions = 16

// KeyOf stands for a key in the queue. It holds no secret, so that it outlives each of them: a key that changed its name would lose its
// place in the order.
func KeyOf(prefix, name string) string {
	sum := sha256.Sum256(appendFields(nil, "write key", prefix, name))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// PartitionOf is where the writes of a key are.
func PartitionOf(key string) int {
	sum := sha256.Sum256([]byte(key))
	return int(binary.BigEndian.Uint32(sum[:4]) % Partitions)
}

// contentFields are the fields beside the content that make two requests with one idempotency key different ones.
var contentFields = []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Range"}

// scope is whose idempotency keys are told apart from whose: two clients that have thought of the same one do not meet, nor does anybody
// learn of another's write by guessing. client is as for Identities.
func (w *Write) scope(client, idempotencyKey string) []byte {
	return appendFields(nil, "idempotency key", w.Upstream, w.Host, client, idempotencyKey)
}

// payload is what an idempotency key stands for.
func (w *Write) payload() []byte {
	b := appendFields(nil, "payload", w.Method, w.Scheme, w.Host, w.Path, w.Query, string(w.Body))
	for _, name := range contentFields {
		b = appendFields(b, w.Header[name]...)
		b = append(b, 0xff)
	}
	return b
}

// appendFields appends texts each with its length, so that no two lists have the same bytes.
func appendFields(dst []byte, fields ...string) []byte {
	for _, f := range fields {
		dst = append(binary.AppendUvarint(dst, uint64(len(f))), f...)
	}
	return dst
}

// NewKey is an idempotency key for a request without one: a UUIDv7 (RFC 9562 §5.7) made of a time and ten random bytes.
func NewKey(now time.Time, random [10]byte) string {
	var u [16]byte
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(u[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(u[2:], uint32(ms))
	copy(u[6:], random[:])
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	const hex = "0123456789abcdef"
	text := make([]byte, 0, 36)
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text = append(text, '-')
		}
		text = append(text, hex[b>>4], hex[b&15])
	}
	return string(text)
}
