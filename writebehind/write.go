package writebehind

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"time"

	"cacheproxy/policy/httpcache"
)

// Write is one accepted request, with everything that is needed to send it without a route or a configuration.
type Write struct {
	Route    string
	Upstream string
	Method   string
	Scheme   string
	Host     string
	Path     string
	Query    string
	HasQuery bool
	Header   http.Header // as sent to the origin
	// Repeats says that the API honours the idempotency key in Header.
	Repeats bool
	MaxAge  time.Duration
	Client  string // address of the client, by which routes are chosen; empty: unknown
	Body    []byte
}

// Target returns the request target.
func (w *Write) Target() httpcache.Target {
	return httpcache.Target{Scheme: w.Scheme, Host: w.Host, Path: w.Path, Query: w.Query, HasQuery: w.HasQuery}
}

// Repeatable reports whether the write may be sent again when nobody knows whether the origin has done it (RFC 9110
// §9.2.2).
func (w *Write) Repeatable() bool {
	return w.Method == http.MethodPut || w.Method == http.MethodDelete || w.Repeats
}

// Overlays reports whether Body is what a read of the target would get once the write is done: a whole representation
// (RFC 9110 §9.3.4), without a content coding that a reader may not know.
func (w *Write) Overlays() bool {
	return w.Method == http.MethodPut && len(w.Header["Content-Range"]) == 0 && len(w.Header["Content-Encoding"]) == 0
}

// head returns the write without its content.
func (w *Write) head() *Write {
	head := *w
	head.Body = nil
	return &head
}

// Encode encodes the write for Sealer.Seal.
func (w *Write) Encode() ([]byte, error) {
	var head bytes.Buffer // gob, because clients send bytes that need not be text
	if err := gob.NewEncoder(&head).Encode(w.head()); err != nil {
		return nil, fmt.Errorf("encode write: %w", err)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+head.Len()+len(w.Body)), uint32(head.Len()))
	return append(append(b, head.Bytes()...), w.Body...), nil
}

var errEncoding = errors.New("decode write: it is not one")

// Decode decodes the result of Encode.
func Decode(b []byte) (*Write, error) {
	if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil, errEncoding
	}
	n := 4 + int(binary.BigEndian.Uint32(b))
	w := &Write{}
	if err := gob.NewDecoder(bytes.NewReader(b[4:n])).Decode(w); err != nil {
		return nil, fmt.Errorf("decode write: %w", err)
	}
	w.Body = b[n:]
	return w, nil
}
