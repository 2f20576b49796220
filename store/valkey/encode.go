package valkey

import (
	"encoding/binary"
	"errors"
	"time"

	"cacheproxy/invalidation/fleet"
	"cacheproxy/invalidation/valkey"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
	"cacheproxy/store/coding"

	"github.com/cespare/xxhash/v2"
)

// What is kept under a key, integers being big endian and lengths being varints:
//
//	magic 2 | version 1 | flags 1 | history 16 | seq 8 | nonce 8 | storage key | item | [signature 16] | checksum 8
//
// The script that writes compares what stands before the storage key, which all versions keep in its place. Of variants,
// which have no position in the log, these bytes are zero. The signature covers everything before it. A signed item is a version of
// its own: for a program that knows nothing of signatures it is of another version, and a miss; for this one without secrets it is
// an item like any other.
const (
	magic         = "cp"
	version       = 1
	versionSigned = 2

	historyAt  = 4
	seqAt      = historyAt + 16
	nonceAt    = seqAt + 8
	stampEnd   = nonceAt + 8
	checksumed = 8
)

// Flags.
const (
	flagVariants = 1 << iota
	flagPacked   // head and body are one zstd frame
	flagAsked    // a text of what the copy was asked for by follows the fields that select it
)

// Flags of a lifetime.
const (
	lifeMustRevalidate = 1 << iota
	lifeNoCache
)

var errKind = errors.New("encode item: it is of no kind that is shared")

// encode writes an item as it is kept on the server.
func encode(key string, item store.Item, at fleet.LogPosition, pack bool, signer *valkey.Signer) ([]byte, error) {
	var value []byte
	switch item := item.(type) {
	case *store.Copy:
		value = encodeCopy(key, item, at, pack)
	case *store.Variants:
		value = encodeVariants(key, item)
	default:
		return nil, errKind
	}
	if signer != nil {
		value[len(magic)] = versionSigned
		value = signer.SignCopy(value, value)
	}
	return appendChecksum(value), nil
}

func appendFront(dst []byte, flags byte, at fleet.LogPosition, key string) []byte {
	dst = append(dst, magic...)
	dst = append(dst, version, flags)
	dst = append(dst, at.History[:]...)
	dst = binary.BigEndian.AppendUint64(dst, at.Seq)
	dst = binary.BigEndian.AppendUint64(dst, at.Nonce)
	return appendText(dst, key)
}

func encodeCopy(key string, c *store.Copy, at fleet.LogPosition, pack bool) []byte {
	flags, packed := byte(0), []byte(nil)
	// What is compressed already, by the origin or here, does not become shorter.
	if pack && c.Coding() == httpcache.Identity && !c.Has("Content-Encoding") {
		plain := append(append(make([]byte, 0, len(c.Head())+len(c.Body())), c.Head()...), c.Body()...)
		if packed = coding.Encode(httpcache.Zstd, plain); packed != nil {
			flags = flagPacked
		}
	}
	dst := make([]byte, 0, stampEnd+len(key)+256+8*len(c.Members())+len(c.Head())+len(c.Body()))
	if c.Asked() != "" {
		flags |= flagAsked
	}
	dst = appendFront(dst, flags, at, key)
	dst = binary.AppendUvarint(dst, uint64(c.Status()))
	dst = appendLife(dst, c.Life())
	dst = appendTexts(dst, c.Vary())
	if c.Asked() != "" {
		dst = appendText(dst, c.Asked())
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Members())))
	for _, id := range c.Members() {
		dst = binary.BigEndian.AppendUint64(dst, uint64(id))
	}
	dst = binary.BigEndian.AppendUint64(dst, c.Digest)
	dst = append(dst, byte(c.Coding()))
	dst = binary.AppendUvarint(dst, uint64(c.Length()))
	dst = binary.AppendUvarint(dst, uint64(len(c.Head())))
	dst = binary.AppendUvarint(dst, uint64(len(c.Body())))
	if packed != nil {
		dst = append(dst, packed...)
	} else {
		dst = append(append(dst, c.Head()...), c.Body()...)
	}
	return dst
}

func appendLife(dst []byte, l httpcache.Lifetime) []byte {
	dst = appendTime(appendTime(dst, l.Date), l.Received)
	for _, d := range []time.Duration{l.InitialAge, l.Fresh, l.StaleWhileRevalidate, l.StaleIfError, l.Keep} {
		dst = binary.AppendUvarint(dst, uint64(max(d, 0)))
	}
	flags := byte(0)
	if l.MustRevalidate {
		flags |= lifeMustRevalidate
	}
	if l.NoCache {
		flags |= lifeNoCache
	}
	return append(dst, flags)
}

// appendTime writes seconds and nanoseconds: a Date of an origin may be outside the range of UnixNano.
func appendTime(dst []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(dst, t.Unix()), uint64(t.Nanosecond()))
}

// encodeVariants writes variants. The keys of the copies are written without the prefix that they share with the key of the variants.
func encodeVariants(key string, v *store.Variants) []byte {
	dst := appendFront(nil, flagVariants, fleet.LogPosition{}, key)
	dst = binary.AppendUvarint(dst, uint64(len(v.Selections)))
	for _, names := range v.Selections {
		dst = appendTexts(dst, names)
	}
	dst = binary.AppendUvarint(dst, uint64(len(v.Keys)))
	for _, k := range v.Keys {
		shared := 0
		for shared < min(len(k), len(key)) && k[shared] == key[shared] {
			shared++
		}
		dst = appendText(binary.AppendUvarint(dst, uint64(shared)), k[shared:])
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendTexts(dst []byte, texts []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(texts)))
	for _, s := range texts {
		dst = appendText(dst, s)
	}
	return dst
}

func appendChecksum(dst []byte) []byte { return binary.BigEndian.AppendUint64(dst, xxhash.Sum64(dst)) }
