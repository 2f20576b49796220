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

// A value on the server has these parts. Integers are big endian, and lengths are varints:
//
//	magic 2 | version 1 | flags 1 | history 16 | seq 8 | nonce 8 | storage key | item | [signature 16] | checksum 8
//
// putScript compares the bytes before the storage key, which all versions have in the same place. Variants have no
// position in the log, so these bytes are zero for them. The signature covers all bytes before it. A signed item has a
// version of its own. A program that knows no signatures takes the item for another version, and so for a miss. This
// program without secrets reads the item like any other.
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
	flagAsked    // the text of Copy.Asked follows the fields of Vary
)

// Flags of a lifetime.
const (
	lifeMustRevalidate = 1 << iota
	lifeNoCache
)

var errKind = errors.New("encode item: it is of no kind that is shared")

// encode makes the value of an item for the server.
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
	// Content that the origin or this program has compressed does not become shorter.
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

// appendTime writes a time in two parts: the dates of some origins lie outside the range of nanoseconds in 64 bits.
func appendTime(dst []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(dst, t.Unix()), uint64(t.Nanosecond()))
}

// encodeVariants writes each key of a copy without the beginning that it shares with the key of the variants.
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
