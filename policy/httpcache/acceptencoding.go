package httpcache

import (
	"strings"
)

// acceptances are the weights of an Accept-Encoding field for the codings of Coding (RFC 9110 §12.5.3). Other codings
// are not acceptable: implementations differ about deflate, and no client takes only that (§8.4.1.2); compress is
// obsolete. A coding with a dictionary (RFC 9842) is only for the client that has the dictionary.
type acceptances struct {
	weights [codings]int16 // in thousandths; zero: not acceptable
}

const (
	unlisted   int16 = -1 // the field does not name the coding
	leastWeigh int16 = 1  // weight of identity where the field names neither identity nor "*"
)

// parseAcceptEncoding reads the lines of a field that is present. Callers check that first: an absent field allows any
// coding, an empty field none (RFC 9110 §12.5.3). A malformed element never makes a coding acceptable. If elements
// contradict each other, the lower weight counts.
func parseAcceptEncoding(lines []string) acceptances {
	a := acceptances{weights: [codings]int16{unlisted, unlisted, unlisted, unlisted}}
	star := unlisted
	for element := range Elements(lines) {
		name, weight, ok := codingWeight(element)
		c, known := codingOf(name)
		switch {
		case name == "*" && ok:
			star = lesser(star, weight)
		case !known:
		case ok:
			a.weights[c] = lesser(a.weights[c], weight)
		case c != Identity:
			a.weights[c] = 0
		}
	}
	for c, weight := range a.weights {
		switch {
		case weight != unlisted:
		case star != unlisted:
			a.weights[c] = star
		case Coding(c) == Identity:
			a.weights[c] = leastWeigh
		default:
			a.weights[c] = 0
		}
	}
	return a
}

// CanonicalEncoding is the canonical spelling of an Accept-Encoding that is present; see canonical.
func CanonicalEncoding(lines []string) string { return parseAcceptEncoding(lines).canonical() }

// lesser is the weight of a coding that is listed more than once: the lower one.
func lesser(before, weight int16) int16 {
	if before == unlisted {
		return weight
	}
	return min(before, weight)
}

// accepts reports whether the client accepts a coding.
func (a acceptances) accepts(c Coding) bool { return a.weights[c] > 0 }

// prefers reports whether the client accepts a coding and gives it at least the weight of identity.
func (a acceptances) prefers(c Coding) bool {
	return a.accepts(c) && a.weights[c] >= a.weights[Identity]
}

// canonicalEncodings are the results of canonical, by the set of accepted codings.
var canonicalEncodings = func() (values [1 << codings]string) {
	for set := range values {
		var list []string
		for c := Gzip; c < codings; c++ {
			if set&(1<<c) != 0 {
				list = append(list, c.String())
			}
		}
		switch accepted := set&(1<<Identity) != 0; {
		case !accepted:
			list = append(list, "identity;q=0")
		case len(list) == 0:
			list = []string{"identity"}
		}
		values[set] = strings.Join(list, ", ")
	}
	return values
}()

// canonical is the common spelling of all fields that accept the same codings, in the order in which browsers list
// codings, and without weights. So only the set of acceptable codings tells variants apart. The canonical spelling
// accepts nothing that the field does not.
func (a acceptances) canonical() string {
	set := 0
	for c, weight := range a.weights {
		if weight > 0 {
			set |= 1 << c
		}
	}
	return canonicalEncodings[set]
}

// RefusesIdentity reports whether the client does not accept an answer without a coding.
func RefusesIdentity(lines []string) bool {
	return len(lines) > 0 && !parseAcceptEncoding(lines).accepts(Identity)
}

// codingWeight reads one element: codings [ weight ] (RFC 9110 §12.5.3). For a malformed element ok is false, and name
// is the text before the first ";".
func codingWeight(element string) (name string, weight int16, ok bool) {
	name, parameter, weighted := strings.Cut(element, ";")
	name = TrimOWS(name)
	if !weighted {
		return name, 1000, isToken(name)
	}
	weight, ok = parseWeight(parameter)
	return name, weight, ok
}

// parseWeight reads "q=" qvalue (RFC 9110 §12.4.2), in thousandths.
func parseWeight(parameter string) (int16, bool) {
	parameter = TrimOWS(parameter)
	if len(parameter) < 2 || parameter[0]|0x20 != 'q' || parameter[1] != '=' {
		return 0, false
	}
	return qvalue(parameter[2:])
}

// qvalue reads a weight in thousandths (RFC 9110 §12.4.2).
func qvalue(s string) (int16, bool) {
	if s == "" || s[0] != '0' && s[0] != '1' || len(s) > 5 || len(s) > 1 && s[1] != '.' {
		return 0, false
	}
	n, unit := int16(s[0]-'0')*1000, int16(100)
	for i := 2; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n += int16(s[i]-'0') * unit
		unit /= 10
	}
	return n, n <= 1000
}
