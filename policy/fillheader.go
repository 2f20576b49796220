package policy

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// forwardedFields are the client's fields that every fill forwards. None of them can change an answer without being in
// the key or the variant.
var forwardedFields = []string{
	// Content negotiation (RFC 9110 §12.5). The most preferred element is part of the key; see preferred.go.
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language",
	// APIs often answer by Origin without naming it in Vary, so it is always part of the variant; see selectedBy.
	originField,
	// The trace of the fill, on which no answer depends (W3C Trace Context), bounded by httpcache.BoundUnkeyed. A fill
	// has a request id of its own: an origin that repeats the id in its answer must not tell one client's id to others.
	"Traceparent", "Tracestate",
	// The way of the request, so that loops are noticed (RFC 9110 §7.6.3, RFC 8586), bounded likewise.
	"Via", "Cdn-Loop",
}

// withheld are fields of the client that no fill forwards unless the route declares them, because each can make the
// origin give another answer under the same key. Look-ups replace "_" by "-" in names, as many origins do.
var withheld = map[string]bool{
	// Fields that say who sends the request. FillHeader builds the Cookie field of declared cookies separately.
	"Authorization": true, "Cookie": true, "Cookie2": true,
	// The proxy itself sets these fields, which say how it was reached; X-Forwarded-* is withheld as a family.
	"Forwarded": true,
	// Directives for caches (RFC 9111 §5.2.1, §5.4). They are for this cache: only-if-cached would make a cache
	// upstream answer 504.
	"Cache-Control": true, "Pragma": true,
	// A fill has no content but keyed content (RFC 9110 §8.6, §10.1.1), and is not a TRACE (§7.6.2).
	"Content-Length": true, "Content-Encoding": true, "Content-Type": true, "Content-Language": true, "Expect": true, "Max-Forwards": true,
}

// FillHeader is the request header of a shared fill. It has the client's fields that may reach the origin although the
// answer is for every client with the same key. selected are the fields that Vary is known to name (RFC 9111 §4.1).
// They are forwarded too, as part of the variant, and those that rank preferences then go unshortened. Credentials are
// never selected that way. With Route.ShareAuthorized, Authorization is forwarded only if the route declares it, as
// part of the key.
//
// The answer belongs to the variant that this header selects; see VariantKey. Forward and AppendVia add the proxy's own
// fields. The result shares no memory with client.
func (r *Route) FillHeader(client http.Header, selected []string) http.Header {
	h, fields := make(http.Header), r.fields()
	c := copying{to: h, from: client}
	if r.ForwardHeaders == ForwardAll {
		c.endToEnd()
		delete(h, "X-Request-Id") // see forwardedFields
	} else {
		c.fields(forwardedFields)
	}
	httpcache.BoundUnkeyed(h) // an origin that refuses their length would fail every client of the fill
	for _, name := range selected {
		if !isWithheld(name) {
			c.field(name)
		}
	}
	// The client's Connection must not remove a keyed field: the key would have a value that the origin never saw.
	c.fields(r.Headers)
	c.fields(fields.keyedUnlisted(client))
	for name := range h {
		if httpcache.IsHopByHop(name) || fields.ignores(name) {
			delete(h, name)
		}
	}
	r.fillEncoding(h)
	fields.prefer(h, selected)
	// A fill asks for the whole answer, even where the route declares one of these fields.
	httpcache.StripConditional(h)
	delete(h, "Range")
	if c := r.cookies(); len(c.keyed) > 0 && !c.whole {
		if cookies := c.declared(client); cookies != "" {
			h["Cookie"] = []string{cookies}
		}
	}
	return h
}

// RenewalHeader is the request header of a fill that renews a copy, whichever reader has caused the renewal. The reader
// chose the copy by the keyed fields and by the fields of its Vary, and by nothing else. So only these fields of fill
// go to the origin, with the trace and the fields of asked. fill is FillHeader of the reader's header. asked has the
// negotiation fields of the request that fetched the copy, in the form of httpcache.Negotiation. The trace is the
// reader's. The result shares its lines with fill.
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

// fillEncoding has a fill ask for the codings that every client accepts which shares the fill. It may write to the
// lines of h. An absent field stays absent: absence accepts any coding, and the answer belongs to a variant of its own
// (RFC 9110 §12.5.3). A field that the route declares is part of the key unchanged.
func (r *Route) fillEncoding(h http.Header) {
	switch lines := h[encodingField]; {
	case r.Compression != httpcache.Identity:
		h[encodingField] = append(lines[:0], httpcache.Identity.String())
	case len(lines) > 0 && !r.fields().declares(encodingField):
		h[encodingField] = append(lines[:0], httpcache.CanonicalEncoding(lines))
	}
}

// isWithheld reports whether fills withhold a field, by any spelling of its name.
func isWithheld(name string) bool {
	name = dashed(name)
	return withheld[name] || reroutes(name) || httpcache.IsHopByHop(name) || httpcache.SaysWay(name) ||
		name == "Range" || httpcache.IsPrecondition(name)
}

// copying copies fields from one header to another. The copied lines share arrays: nearly every field has one line,
// each of which would cost an allocation.
type copying struct {
	to, from http.Header
	room     []string
}

// roomAtOnce is the number of lines of an array, enough for most fills.
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

// endToEnd copies every field that is not withheld. It leaves out a field with "_" in its name: many origins would take
// that for the field with "-", which may be part of the key.
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
