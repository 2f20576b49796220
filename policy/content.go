package policy

import (
	"crypto/sha256"
	"net/http"

	"cacheproxy/policy/httpcache"
)

// ContentReads opts a route in to reads by the request's content: QUERY (RFC 10008), and POST
// where the API uses it for searches. The zero value has none: QUERY passes, POST writes.
type ContentReads struct {
	// Max bounds the content, in bytes; larger requests go the way of any other QUERY or POST. 0: no reads with content.
	Max int64
	// GraphQL says that a POST is a read only when its content is a GraphQL request with nothing but queries.
	GraphQL bool
}

const query = "QUERY"

// contentFields describe the content of a request, and are part of the key as it is (RFC 10008 §2.7).
var contentFields = []string{"Content-Encoding", "Content-Language", "Content-Type"}

// MayRead reports whether the request may be a read with content, which its content decides. A pattern that has all methods
// opts in to none.
func (c ContentReads) MayRead(p Pattern, method string) bool {
	return c.Max > 0 && p.Method() == method && (method == query || method == http.MethodPost)
}

// Reads reports whether a request that MayRead is a read, given all of its content. In doubt the request is a write: some servers of
// GraphQL take the operation from the URL where the URL has one.
func (c ContentReads) Reads(method string, t httpcache.Target, h http.Header, content []byte) bool {
	if int64(len(content)) > c.Max {
		return false
	}
	return method == query || !c.GraphQL || !namesOperation(t.Query) && asksGraphQL(h, content)
}

// AppendContent appends to a storage key what makes it that of a read with content: method, description and digest of the content.
// Two such reads share a key only if their contents are equal, or collide in SHA-256.
func AppendContent(key []byte, method string, h http.Header, content []byte) []byte {
	key = httpcache.AppendField(key, method)
	for _, name := range contentFields {
		key = httpcache.AppendField(key, httpcache.Combined(h[name]))
	}
	sum := sha256.Sum256(content)
	return append(key, sum[:]...)
}

// ContentHeader adds to the header of a fill what describes the content it carries.
func ContentHeader(fill, client http.Header) {
	(&copying{to: fill, from: client}).fields(contentFields)
}
