package policy

import (
	"encoding/binary"
	"net/http"
	"slices"

	"cacheproxy/policy/httpcache"
)

// An origin may choose its answer by Accept, Accept-Charset and Accept-Language without naming them in Vary. A cache
// that tells copies apart only by Vary would then serve the first client's choice to all. So on a route that forwards
// listed fields, every key and every fill has these fields, in the form of httpcache.AppendPreferred: only the most
// preferred element, since whole fields would give each kind of client a copy of its own.
//
// The invariant: every value of these fields that a fill sends is in its key, or in the Vary of its copy. A fill sends
// them whole where Vary is known to name them (FillHeader), and where the origin refuses the short form
// (Preferences.Whole). selectedBy then adds them to the copy's Vary.

// preferredFields are the fields of which keys have the most preferred element, in this order.
var preferredFields = [...]string{"Accept", "Accept-Charset", "Accept-Language"}

// prefers reports whether keys have the most preferred element of a field. A key has the whole field where the route
// declares it. A key has nothing of the field where the route ignores the field, or where the route forwards all fields
// and so relies on Vary.
func (f fieldRules) prefers(name string) bool {
	return f.forward == ForwardListed && slices.Contains(preferredFields[:], name) && !f.declares(name) && !f.ignores(name)
}

// Preferences are the fields of which the keys of a route have the most preferred element, sorted. Nobody writes to the
// slice.
type Preferences []string

// PreferencesOf are the Preferences of a route.
func PreferencesOf(r *Route) (fields Preferences) {
	f := r.fields()
	for _, name := range preferredFields {
		if f.prefers(name) {
			fields = append(fields, name)
		}
	}
	return fields
}

// AppendTo appends the request's most preferred elements to a key, field by field, each with its length before it.
// AppendTo allocates only to grow dst.
func (p Preferences) AppendTo(dst []byte, h http.Header) []byte {
	for _, name := range p {
		// Nearly every value is shorter than 128 bytes, whose length fits into one byte. A longer value is moved once.
		at := len(dst)
		dst = httpcache.AppendPreferred(append(dst, 0), name, h[name])
		if length := len(dst) - at - 1; length < 0x80 {
			dst[at] = byte(length)
		} else {
			var prefix [binary.MaxVarintLen64]byte
			n := binary.PutUvarint(prefix[:], uint64(length))
			dst = slices.Replace(dst, at, at+1, prefix[:n]...)
		}
	}
	return dst
}

// Split returns the values that AppendTo has appended, in the order of the fields; nil for a text that AppendTo never
// appends.
func (p Preferences) Split(text string) (values []string) {
	values = make([]string, 0, len(p))
	for range p {
		length, n := binary.Uvarint([]byte(text[:min(len(text), binary.MaxVarintLen64)]))
		if n <= 0 || length > uint64(len(text)-n) {
			return nil
		}
		values = append(values, text[n:n+int(length)])
		text = text[n+int(length):]
	}
	if text != "" {
		return nil
	}
	return values
}

// prefer shortens the preferred fields of a header to their most preferred element, except the fields that Vary
// selects, which stay whole. It writes to the lines of h.
func (f fieldRules) prefer(h http.Header, selected []string) {
	for _, name := range preferredFields {
		if len(h[name]) == 0 || !f.prefers(name) || slices.Contains(selected, name) {
			continue
		}
		var buf [64]byte
		if value := string(httpcache.AppendPreferred(buf[:0], name, h[name])); value != "" {
			h[name] = append(h[name][:0], value)
		} else {
			delete(h, name)
		}
	}
}

// refusesPreferred reports whether a status says that the origin has no representation that the client accepts, or lets
// the client choose (RFC 9110 §15.5.7, §15.4.1). Such an answer depends on all that the client accepts, of which the
// key has only a part: a client that accepts more must ask for itself. So the answer is neither stored nor shared,
// unless Vary names one of the fields, or is known to name one; then all of the fields tell its copies apart.
func refusesPreferred(status int) bool {
	return status == http.StatusNotAcceptable || status == http.StatusMultipleChoices
}

// selectsPreferred reports whether names, the fields that select a variant, have a preferred field, or whether keys
// have none at all.
func (f fieldRules) selectsPreferred(names []string) bool {
	none := true
	for _, name := range preferredFields {
		if f.prefers(name) {
			if none = false; slices.Contains(names, name) {
				return true
			}
		}
	}
	return none
}

// isPreferred reports whether lines already have the form of the most preferred element.
func isPreferred(name string, lines []string) bool {
	var buf [64]byte
	return len(lines) == 1 && lines[0] == string(httpcache.AppendPreferred(buf[:0], name, lines))
}

// Whole reports whether the origin should be asked again with the whole fields. sent is the header of the fill, and
// whole makes the same header with all fields as the client sent them. The origin should be asked again where it
// refuses the most preferred element, or where its Vary says that the rest of a field matters, and whole differs from
// sent there. named are the differing fields that Vary names. An origin that fails (5xx) is not asked again.
func (p Preferences) Whole(sent http.Header, whole func() http.Header, status int, answer http.Header) (named []string, again bool) {
	if status >= http.StatusInternalServerError {
		return nil, false
	}
	vary, star := httpcache.ParseVary(answer["Vary"])
	any := star || refusesPreferred(status)
	var came http.Header
	for _, name := range p {
		varies := slices.Contains(vary, name)
		if !any && !varies {
			continue
		}
		if came == nil {
			came = whole()
		}
		if slices.Equal(sent[name], came[name]) {
			continue
		}
		if varies {
			named = append(named, name)
		}
		again = true
	}
	return named, again
}

// Told are those of the fields that select a variant by which fills of other URLs should select too. A preferred field
// that the answer's Vary does not name is not among them: the origin was told the whole field only for this copy.
func (p Preferences) Told(selected []string, answer http.Header) (names []string) {
	for _, name := range selected {
		if !slices.Contains(p, name) || httpcache.HasElement(answer["Vary"], name) {
			names = append(names, name)
		}
	}
	return names
}
