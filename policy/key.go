package policy

import (
	"encoding/binary"
	"net/http"

	"cacheproxy/policy/httpcache"
)

// AppendKey appends the storage key of a request to dst, and allocates only to grow dst. Every field has its length
// before it, so that the key is injective: requests with different targets, hosts, declared header fields or declared
// cookies never have the same key, whatever bytes they have. host is the forwarded Host. query is the result of
// Query.Apply; t may still have the client's query.
func (r *Route) AppendKey(dst []byte, t httpcache.Target, host, query string, h http.Header) []byte {
	if r.Host.Literal != "" {
		host = ""
	}
	t = t.WithQuery(query)
	dst = binary.BigEndian.AppendUint64(dst, r.Fingerprint)
	dst = httpcache.AppendField(dst, t.Scheme)
	dst = httpcache.AppendField(dst, host)
	dst = httpcache.AppendField(dst, t.Path)
	dst = httpcache.AppendFlag(dst, t.HasQuery)
	dst = httpcache.AppendField(dst, t.Query)
	dst = appendFields(dst, r.Headers, h)
	for _, name := range r.Cookies {
		dst = appendCookies(dst, h, name)
	}
	fields := r.fields()
	if names := fields.keyedUnlisted(h); names != nil {
		dst = append(dst, 'u')
		dst = binary.AppendUvarint(dst, uint64(len(names)))
		dst = appendFields(dst, names, h)
	}
	if fields.keysOrigin(h) {
		dst = append(dst, 'w') // a web page sent the request; its Origin selects the variant
	}
	return dst
}

// appendCookies appends all cookies of a name. Their number is not known beforehand, so a flag precedes each.
func appendCookies(dst []byte, h http.Header, name string) []byte {
	dst = httpcache.AppendField(dst, name)
	for value := range httpcache.CookieValues(h, name) {
		dst = httpcache.AppendFlag(dst, true)
		dst = httpcache.AppendField(dst, value)
	}
	return httpcache.AppendFlag(dst, false)
}

// appendFields appends fields of a header with all their lines.
func appendFields(dst []byte, names []string, h http.Header) []byte {
	for _, name := range names {
		dst = httpcache.AppendField(dst, name)
		dst = binary.AppendUvarint(dst, uint64(len(h[name])))
		for _, value := range h[name] {
			dst = httpcache.AppendField(dst, value)
		}
	}
	return dst
}
