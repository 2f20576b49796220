package policy

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// forwardedFields are the client's fields that every fill forwards: what they choose is told apart, by the key or the variant.
var forwardedFields = []string{
	// Content negotiation (RFC 9110 §12.5). What is preferred most is part of the key; see preferred.go.
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language",
	// Often heeded without a word, so that it is always part of the variant; see selectedBy.
	originField,
	// The trace that the fill is part of, which answers do not depend on (W3C Trace Context), bounded by httpcache.BoundUnkeyed. A fill has a request id of its
	// own: an origin that repeats it in its answer must not tell one client's to others.
	"Traceparent", "Tracestate",
	// The way that the request came, needed to notice that it goes round in circles (RFC 9110 §7.6.3, RFC 8586), bounded likewise.
	"Via", "Cdn-Loop",
}

// withheld are fields of the client that no fill forwards unless the route declares them, because each can make the
// origin give another answer under the same key. Names are looked up here with "-" for "_", as many origins read them.
var withheld = map[string]bool{
	// Who asks. Cookies that the route declares are put together apart.
	"Authorization": true, "Cookie": true, "Cookie2": true,
	// What the proxy says itself about how it was reached; X-Forwarded-* is withheld as a family.
	"Forwarded": true,
	// Wishes to caches (RFC 9111 §5.2.1, §5.4). They are for this one: only-if-cached would make one upstream answer 504.
	"Cache-Control": true, "Pragma": true,
	// A fill has no content but one that is keyed (RFC 9110 §8.6, §10.1.1), and is not a TRACE (§7.6.2).
	"Content-Length": true, "Content-Encoding": true, "Content-Type": true, "Content-Language": true, "Expect": true, "Max-Forwards": true,
}

// FillHeader is the request header of a shared fill: of the client's fields those that may reach the origin although its
// answer is for everyone with the same key. selected names further fields, those that Vary selects (RFC 9111 §4.1): they
// are part of the variant, and those that rank what a client prefers are sent whole. Credentials are never selected that way. With Route.ShareAuthorized, Authorization is
// forwarded only if the route declares it, as part of the key.
//
// The answer belongs to the variant that this header selects; see VariantKey. Forward and AppendVia add what the proxy
// says itself. The result shares nothing with client.
func (r *Route) FillHeader(client http.Header, selected []string) http.Header {
	h, fields := make(http.Header), r.fields()
	c := copying{to: h, from: client}
	if r.ForwardHeaders == ForwardAll {
		c.endToEnd()
		delete(h, "X-Request-Id") // see forwardedFields
	} else {
		c.fields(forwardedFields)
	}
	httpcache.BoundUnkeyed(h) // an origin that fails of it would fail for all
	for _, name := range selected {
		if !isWithheld(name) {
			c.field(name)
		}
	}
	// The client's Connection has no say in what is part of a key: the key would hold a value that the origin never saw.
	c.fields(r.Headers)
	c.fields(fields.keyedUnlisted(client))
	for name := range h {
		if httpcache.IsHopByHop(name) || fields.ignores(name) {
			delete(h, name)
		}
	}
	r.fillEncoding(h)
	fields.prefer(h, selected)
	// A fill asks for the whole answer, also where the route declares these.
	httpcache.StripConditional(h)
	delete(h, "Range")
	if c := r.cookies(); len(c.keyed) > 0 && !c.whole {
		if cookies := c.declared(client); cookies != "" {
			h["Cookie"] = []string{cookies}
		}
	}
	return h
}

// RenewalHeader is the request header of a fill that renews a copy, whoever has read it: a reader chose the copy by what is keyed and
// by the fields of its Vary, and by nothing else. fill is what FillHeader makes of the reader's header; asked is what the request said
// that fetched the copy, as httpcache.Negotiation writes it. The trace is the reader's. The result shares its lines with fill.
func (r *Route) RenewalHeader(fill http.Header, vary []string, asked string) http.Header {
	h := make(http.Header, len(fill))
	for name, lines := range fill {
		if slices.Contains(vary, name) || r.keyedField(name) || httpcache.IsTrace(name) {
			h[name] = lines
		}
	}
	httpcache.Negotiate(h, asked)
	return h
}

// fillEncoding has a fill, whose lines are its own, ask for what every client that shares it accepts. An absent field stays so: it accepts any coding,
// and the answer belongs to a variant of its own (RFC 9110 §12.5.3). One that the route declares is part of the key as it
// is.
func (r *Route) fillEncoding(h http.Header) {
	switch lines := h[encodingField]; {
	case r.Compression != httpcache.Identity:
		h[encodingField] = append(lines[:0], httpcache.Identity.String())
	case len(lines) > 0 && !r.fields().declares(encodingField):
		h[encodingField] = append(lines[:0], httpcache.CanonicalEncoding(lines))
	}
}

// isWithheld reports whether a fill keeps the field back.
func isWithheld(name string) bool {
	name = dashed(name)
	return withheld[name] || reroutes(name) || httpcache.IsHopByHop(name) || httpcache.SaysWay(name) ||
		name == "Range" || httpcache.IsPrecondition(name)
}

// copying copies fields of one header to another. The lines of several fields share an array: nearly every field has one line, and each would otherwise be
// an allocation.
type copying struct {
	to, from http.Header
	room     []string
}

// roomAtOnce is the capacity of such an array, in lines. It is enough for most fills.
const roomAtOnce = 8

func (c *copying) field(name string) {
	lines := c.from[name]
	if len(lines) == 0 {
		return
	}
	if cap(c.room)-len(c.room) < len(lines) {
		c.room = make([]string, 0, max(len(lines), roomAtOnce))
	}
	at := len(c.room)
	c.room = append(c.room, lines...)
	c.to[name] = c.room[at:len(c.room):len(c.room)]
}

func (c *copying) fields(names []string) {
	for _, name := range names {
		c.field(name)
	}
}

// endToEnd copies every field that is not withheld. One with "_" in its name is left out as well: many origins would
// take it for the one with "-", which may be part of the key.
func (c *copying) endToEnd() {
	for name := range c.from {
		if !isWithheld(name) && !strings.Contains(name, "_") {
			c.field(name)
		}
	}
	if lines := c.from["Connection"]; len(lines) > 0 {
		c.to["Connection"] = lines
		httpcache.RemoveHopByHop(c.to)
	}
}

// copyField copies one field.
func copyField(dst, src http.Header, name string) { (&copying{to: dst, from: src}).field(name) }
