package policy

import (
	"crypto/sha256"
	"net/http"

	"cacheproxy/policy/httpcache"
)

// ContentReads opts a route in to reads whose question is the request's content: QUERY (RFC 10008), and POST where the
// API uses POST for searches. The zero value has none: QUERY passes, POST writes.
type ContentReads struct {
	// Max bounds the content, in bytes; a larger request is handled like any other QUERY or POST. 0: no reads with
	// content.
	Max int64
	// GraphQL says that a POST is a read only where its content is a GraphQL request with no operations but queries.
	GraphQL bool
}

const query = "QUERY"

// contentFields describe the content of a request, and are part of the key unchanged (RFC 10008 §2.7).
var contentFields = []string{"Content-Encoding", "Content-Language", "Content-Type"}

// MayRead reports whether the request may be a read with content; Reads then decides by the content. A pattern for all
// methods does not opt in.
func (c ContentReads) MayRead(p Pattern, method string) bool {
	return c.Max > 0 && p.Method() == method && (method == query || method == http.MethodPost)
}

// Reads reports whether a request that MayRead is a read, given all of its content. In doubt the request is a write:
// some GraphQL servers take the operation from the URL where the URL has one.
func (c ContentReads) Reads(method string, t httpcache.Target, h http.Header, content []byte) bool {
	if int64(len(content)) > c.Max {
		return false
	}
	return method == query || !c.GraphQL || !namesOperation(t.Query) && asksGraphQL(h, content)
}

// AppendContent extends a storage key to that of a read with content, by its method and the description and digest of
// its content. Two such reads share a key only if their contents are equal, or collide in SHA-256.
func AppendContent(key []byte, method string, h http.Header, content []byte) []byte {
	key = httpcache.AppendField(key, method)
	for _, name := range contentFields {
		key = httpcache.AppendField(key, httpcache.Combined(h[name]))
	}
	sum := sha256.Sum256(content)
	return append(key, sum[:]...)
}

// ContentHeader adds the fields that describe the content to the header of a fill with content.
func ContentHeader(fill, client http.Header) {
	(&copying{to: fill, from: client}).fields(contentFields)
}
