package writebehind

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// Partitions is the number of parts into which keys are divided. Each part has one owner at a time. The number is part
// of the stored format: with another number, a key would be in another partition than its earlier writes.
const Partitions = 16

// KeyOf returns the name of a key in the queue. The name depends on no secret, so that it outlives each secret: a key
// with a new name would lose its place in the order.
func KeyOf(prefix, name string) string {
	sum := sha256.Sum256(appendFields(nil, "write key", prefix, name))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// PartitionOf returns the partition that has the writes of a key.
func PartitionOf(key string) int {
	sum := sha256.Sum256([]byte(key))
	return int(binary.BigEndian.Uint32(sum[:4]) % Partitions)
}

// contentFields are the header fields that, like the content, make two requests with one idempotency key different
// requests.
var contentFields = []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Range"}

// scope is the scope of an idempotency key. Two clients that use the same key get different scopes, and no client
// learns of another's write by guessing a key. client is the argument of Identities.
func (w *Write) scope(client, idempotencyKey string) []byte {
	return appendFields(nil, "idempotency key", w.Upstream, w.Host, client, idempotencyKey)
}

// payload is the part of a request that an idempotency key stands for.
func (w *Write) payload() []byte {
	b := appendFields(nil, "payload", w.Method, w.Scheme, w.Host, w.Path, w.Query, string(w.Body))
	for _, name := range contentFields {
		b = appendFields(b, w.Header[name]...)
		b = append(b, 0xff)
	}
	return b
}

// appendFields appends each text after its length, so that different lists have different bytes.
func appendFields(dst []byte, fields ...string) []byte {
	for _, f := range fields {
		dst = append(binary.AppendUvarint(dst, uint64(len(f))), f...)
	}
	return dst
}

// NewKey returns an idempotency key for a request without a key: a UUIDv7 (RFC 9562 §5.7) of a time and ten random
// bytes.
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
