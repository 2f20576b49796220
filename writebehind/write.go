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

// Write is one request that was accepted, with all that is needed to make it: neither a route nor a configuration.
type Write struct {
	Route    string
	Upstream string
	Method   string
	Scheme   string
	Host     string
	Path     string
	Query    string
	HasQuery bool
	Header   http.Header // as the origin is to get it
	// Repeats says that the API heeds the idempotency key in Header.
	Repeats bool
	MaxAge  time.Duration
	Client  string // address of who sent it, by which routes are chosen; empty: it is not known
	Body    []byte
}

// Target is the request target.
func (w *Write) Target() httpcache.Target {
	return httpcache.Target{Scheme: w.Scheme, Host: w.Host, Path: w.Path, Query: w.Query, HasQuery: w.HasQuery}
}

// Repeatable reports whether the write may be made again where nobody knows whether it was (RFC 9110 §9.2.2).
func (w *Write) Repeatable() bool {
	return w.Method == http.MethodPut || w.Method == http.MethodDelete || w.Repeats
}

// Overlays reports whether the content is what a read of the target would get once the write is done: a whole representation
// (RFC 9110 §9.3.4), and not one in a coding that a reader may not know.
func (w *Write) Overlays() bool {
	return w.Method == http.MethodPut && len(w.Header["Content-Range"]) == 0 && len(w.Header["Content-Encoding"]) == 0
}

// head is the write without its content.
func (w *Write) head() *Write {
	head := *w
	head.Body = nil
	return &head
}

// Encode is the write as it is kept, before it is sealed.
func (w *Write) Encode() ([]byte, error) {
	var head bytes.Buffer // by gob, since what clients send is bytes and need not be text
	if err := gob.NewEncoder(&head).Encode(w.head()); err != nil {
		return nil, fmt.Errorf("encode write: %w", err)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+head.Len()+len(w.Body)), uint32(head.Len()))
	return append(append(b, head.Bytes()...), w.Body...), nil
}

var errEncoding = errors.New("decode write: it is not one")

// Decode reads what Encode has written.
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
