package policy

import (
	"encoding/binary"
	"net/http"
	"slices"

	"cacheproxy/policy/httpcache"
)

// An origin may choose its answer by Accept, Accept-Charset and Accept-Language without naming them in Vary. If keys did not have these fields, the
// answer for the first client would then be stored for all. So on a route that forwards listed fields, every key and every fill has them, reduced to
// what the client prefers most (httpcache.AppendPreferred): whole, they would mean a copy for each kind of client. Invariant: what a fill tells the
// origin of these fields is in its key, or in the Vary of its copy. A field is told whole if Vary is known to name it (FillHeader), or if the origin
// refuses the short form (Preferences.Whole); selectedBy then adds the field to the copy's Vary.

// preferredFields are the fields of which keys have what is preferred most, in this order.
var preferredFields = [...]string{"Accept", "Accept-Charset", "Accept-Language"}

// prefers reports whether keys have the most preferred value of a field. If the route declares the field, keys have it whole; if the route ignores it, or
// forwards all fields, keys do not have it.
func (f fieldRules) prefers(name string) bool {
	return f.forward == ForwardListed && slices.Contains(preferredFields[:], name) && !f.declares(name) && !f.ignores(name)
}

// Preferences are the fields of which the keys of a route have what is preferred most, sorted. It does not change.
type Preferences []string

// PreferencesOf are those of a route.
func PreferencesOf(r *Route) (fields Preferences) {
	f := r.fields()
	for _, name := range preferredFields {
		if f.prefers(name) {
			fields = append(fields, name)
		}
	}
	return fields
}

// AppendTo appends to a key what the request prefers most, field by field, each preceded by its length. It allocates only to grow dst.
func (p Preferences) AppendTo(dst []byte, h http.Header) []byte {
	for _, name := range p {
		// Nearly every value is shorter than what one byte of length can say; a longer one is moved once.
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

// Split gives the values that AppendTo has appended, in the order of the fields; nil: it is nothing that it appends.
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

// prefer has a header, whose lines are its own, say what is preferred most, but for the fields that Vary selects, which stay whole.
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

// refusesPreferred reports whether a status says that the origin has nothing that the client accepts, or lets it choose (406, 300: RFC 9110 §15.5.7,
// §15.4.1). Such an answer depends on everything that the client accepts, and not only on what the key has of it: a client that accepts more has to
// ask for itself. So it is neither stored nor shared, unless Vary names one of the fields, or is known to; then its copies are kept apart by all of them.
func refusesPreferred(status int) bool {
	return status == http.StatusNotAcceptable || status == http.StatusMultipleChoices
}

// selectsPreferred reports whether the fields that select a variant have one that says what a client prefers, or keys have nothing of these.
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

// isPreferred reports whether lines have only what is preferred most, so that nothing is lost by reducing them.
func isPreferred(name string, lines []string) bool {
	var buf [64]byte
	return len(lines) == 1 && lines[0] == string(httpcache.AppendPreferred(buf[:0], name, lines))
}

// Whole reports whether a fill that has told the origin sent has to ask again with the client's fields whole, as the header that whole makes has them: the
// origin has refused what the client prefers most, or its Vary says that it goes by a field of which sent has only a part. named are those fields that
// Vary names. If the origin fails (5xx), it is not asked again.
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

// Told returns those of the fields that select a variant that fills of other URLs should send whole too: a preference field only if the answer's Vary
// names it. One that was sent whole because of one client's preferences concerns that one copy only.
func (p Preferences) Told(selected []string, answer http.Header) (names []string) {
	for _, name := range selected {
		if !slices.Contains(p, name) || httpcache.HasElement(answer["Vary"], name) {
			names = append(names, name)
		}
	}
	return names
}
