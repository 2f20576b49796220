package valkey

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// told is the message about the entries that one step has appended. The server puts the Seq of the first entry and
// the nonce of the entry before it first. The text of the writer follows.
type told struct {
	seq, previous uint64
	writer        string
	entries       []toldEntry
}

type toldEntry struct {
	nonce             uint64
	awaited           bool // the writer waits for others to apply the entry
	record, signature string
}

// appendTold appends a writer's text about its entries: the writer's name, then of each entry nonce, flag, record and
// signature.
func appendTold(dst []byte, writer string, entries []toldEntry) []byte {
	dst = appendText(dst, writer)
	for _, e := range entries {
		dst = append(binary.BigEndian.AppendUint64(dst, e.nonce), flag(e.awaited)[0])
		dst = appendText(appendText(dst, e.record), e.signature)
	}
	return dst
}

var errTold = errors.New("message of the log is not understood")

// parseTold reads a message: Seq and nonce as text, each with a space behind, and then the output of appendTold.
func parseTold(message string) (t told, err error) {
	seq, rest, _ := strings.Cut(message, " ")
	previous, body, ok := strings.Cut(rest, " ")
	if !ok {
		return t, errTold
	}
	if t.seq, err = strconv.ParseUint(seq, 10, 63); err != nil {
		return t, fmt.Errorf("%w: %w", errTold, err)
	}
	if t.previous, err = strconv.ParseUint(previous, 16, 64); err != nil {
		return t, fmt.Errorf("%w: %w", errTold, err)
	}
	if t.writer, body, ok = cutText(body); !ok {
		return t, errTold
	}
	for len(body) > 0 {
		var e toldEntry
		if len(body) < 9 {
			return t, errTold
		}
		e.nonce, e.awaited = binary.BigEndian.Uint64([]byte(body)), body[8:9] == flag(true)
		if e.record, body, ok = cutText(body[9:]); !ok {
			return t, errTold
		}
		if e.signature, body, ok = cutText(body); !ok {
			return t, errTold
		}
		t.entries = append(t.entries, e)
	}
	return t, nil
}

// ackText returns the message that an instance publishes to the writer of entries that the instance has applied.
func ackText(instance string, nonces []uint64) string {
	b := appendText(nil, instance)
	for _, n := range nonces {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return string(b)
}

func parseAck(message string) (instance string, nonces []uint64, ok bool) {
	instance, rest, ok := cutText(message)
	if !ok || len(rest)%8 != 0 {
		return "", nil, false
	}
	for ; len(rest) > 0; rest = rest[8:] {
		nonces = append(nonces, binary.BigEndian.Uint64([]byte(rest)))
	}
	return instance, nonces, true
}

// appendText appends a text with its length before the text.
func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func cutText(s string) (text, rest string, ok bool) {
	length, n := binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
	if n <= 0 || length > uint64(len(s)-n) {
		return "", "", false
	}
	return s[n : n+int(length)], s[n+int(length):], true
}
