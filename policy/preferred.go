package policy

import (
	"encoding/binary"
	"net/http"
	"slices"

	"cacheproxy/policy/httpcache"
)

// An origin may choose its answer by Accept, Accept-Charset and Accept-Language without a word of it in Vary, and what is told apart only
// where Vary says so would then be the first client's choice for all. So on a route that forwards listed fields they are part of every
// key, and of every fill, in the form of httpcache.AppendPreferred: by what is preferred most, since whole they would be a copy for
// each kind of client. The invariant: what a fill tells the origin of these fields is in its key, or in the Vary of its copy. Whole they are
// told where Vary is known to name them (FillHeader), and where the origin refuses the short form (Preferences.Whole); selectedBy then adds them.

// preferredFields are the fields of which keys have what is preferred most, in this order.
var preferredFields = [...]string{"Accept", "Accept-Charset", "Accept-Language"}

// prefers reports whether keys have of a field what is preferred most: whole it is in them where the route declares it, and where the
// route ignores it or Vary alone names what matters, keys have nothing of it.
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

// refusesPreferred reports whether a status says that the origin has nothing of what a client prefers, or has it choose (RFC 9110 §15.5.7,
// §15.4.1). That goes by all that the client accepts, whatever the key has of it: one that accepts more is to ask for itself. So such an
// answer is neither stored nor shared, unless Vary names one of the fields, or is known to; then all of them tell its copies apart.
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

// isPreferred reports whether lines are what is left of them where only that is told apart which is preferred most.
func isPreferred(name string, lines []string) bool {
	var buf [64]byte
	return len(lines) == 1 && lines[0] == string(httpcache.AppendPreferred(buf[:0], name, lines))
}

// Whole reports whether an answer to a fill that told the origin sent is one to that alone, and not to the client, of whom whole makes
// the same header with every field as it came: it is refused for what it prefers most, or its Vary says that the rest of the field
// matters. named are the fields that it names of those in which the two differ. Of an origin that fails nothing more is asked.
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

// Told are those of the fields that select a variant by which fills of other URLs select too, given what the answer says in Vary: what
// one client had the origin told whole, without a word of it in Vary, is so for that one copy.
func (p Preferences) Told(selected []string, answer http.Header) (names []string) {
	for _, name := range selected {
		if !slices.Contains(p, name) || httpcache.HasElement(answer["Vary"], name) {
			names = append(names, name)
		}
	}
	return names
}
