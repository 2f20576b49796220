package httpcache

import "strings"

const (
	// maxPreferences bounds the length of a field that is read, in bytes over all lines: browsers send a few hundred.
	maxPreferences = 1024
	// maxPreferred bounds the length of a preferred element; a longer element is malformed. A language tag that can be
	// registered has 35 bytes at most (RFC 5646 §4.4.1), a media type 127 on each side of its slash (RFC 6838 §4.2).
	maxPreferred = 255
	// anythingElse follows a preferred media range where the client accepts any other as well: an origin without the
	// preferred range then sends another one, and does not refuse (RFC 9110 §12.5.1).
	anythingElse = ", */*;q=0.1"
)

// rank says how specific a range is. Of two ranges with the same weight the more specific one is preferred (RFC 9110
// §12.5.1). Of two with the same rank the first one is, as for most origins.
type rank uint8

const (
	anyRange  rank = iota + 1 // "*", "*/*"
	family                    // "image/*"
	oneOfThem                 // a media type, a language, a charset
)

// AppendPreferred appends the most preferred element of the lines of Accept, Accept-Charset or Accept-Language (RFC
// 9110 §12.5.1, §12.5.2, §12.5.4), in canonical spelling: one media range with its parameters, and whether any other is
// acceptable; one charset; one language tag. All spellings of the same preference give the same result, and the result
// is a spelling of itself.
//
// AppendPreferred appends nothing where no element is preferred, as for an absent field: for no lines, for an empty
// field, for a field with only malformed elements or elements of weight zero, and for a field of more than
// maxPreferences bytes. Malformed elements do not count. So a value that a client makes up becomes a name of bounded
// length, or none. AppendPreferred allocates only to grow dst.
func AppendPreferred(dst []byte, name string, lines []string) []byte {
	length := 0
	for _, line := range lines {
		if length += len(line); length > maxPreferences {
			return dst
		}
	}
	media := name == "Accept"
	var best string
	var most int16
	var how rank
	anything := false
	for _, line := range lines {
		for rest := line; rest != ""; {
			var element string
			element, rest = cutElement(rest)
			if most == 1000 && how == oneOfThem { // no other element can be preferred
				if !media || anything || strings.IndexByte(element, '*') < 0 && strings.IndexByte(rest, '*') < 0 {
					rest = ""
					continue
				}
				if element = TrimOWS(element); element == "" || element[0] != '*' {
					continue
				}
			}
			item, weight, r := rankElement(element, media)
			if weight <= 0 {
				continue
			}
			anything = anything || media && r == anyRange
			if weight > most || weight == most && r > how {
				best, most, how = item, weight, r
			}
		}
	}
	switch {
	case how == 0:
		return dst
	case how == anyRange && media:
		return append(dst, "*/*"...)
	case media:
		if dst = appendMediaRange(dst, best); anything {
			dst = append(dst, anythingElse...)
		}
		return dst
	case name == "Accept-Language":
		return appendLanguage(dst, best)
	}
	return appendLower(dst, best)
}

// cutElement takes the first element off a list. Commas within quoted-strings separate nothing.
func cutElement(list string) (element, rest string) {
	if i := strings.IndexByte(list, ','); i < 0 || strings.IndexByte(list[:i], '"') < 0 {
		element, rest, _ = strings.Cut(list, ",")
		return element, rest
	}
	return cutUnquoted(list, ',')
}

// cutUnquoted cuts a list at the first separator outside of quoted-strings (RFC 9110 §5.6.4).
func cutUnquoted(list string, separator byte) (first, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}

// rankElement reads one element: item *( parameter ) [ weight ]. Only media ranges have parameters, and the weight may
// stand anywhere among these (RFC 9110 §12.5.1). The item of a media range includes the weight. A weight of zero: the
// element is malformed, or not acceptable.
func rankElement(element string, media bool) (item string, weight int16, how rank) {
	item = TrimOWS(element)
	name, parameters, _ := strings.Cut(item, ";")
	name = TrimOWS(name)
	if item == "" || len(item) > maxPreferred {
		return "", 0, 0
	}
	how, weight = oneOfThem, 1000
	if !media {
		if name == "*" {
			how = anyRange
		}
		if !isToken(name) {
			return "", 0, 0
		}
		if len(name) < len(item) {
			var ok bool
			if weight, ok = parseLenientWeight(parameters); !ok {
				return "", 0, 0
			}
		}
		return name, weight, how
	}
	kind, sub, slashed := strings.Cut(name, "/")
	switch {
	case !isToken(kind) || slashed && !isToken(sub):
		return "", 0, 0
	case kind == "*" && (!slashed || sub == "*"): // some clients send "*" for any media type
		how = anyRange
	case kind == "*":
		return "", 0, 0
	case sub == "*":
		how = family
	}
	weighed := false
	for parameters != "" {
		var parameter string
		parameter, parameters = cutUnquoted(parameters, ';')
		switch w, isWeight, ok := readParameter(parameter); {
		case !ok, isWeight && weighed: // two weights contradict each other
			return "", 0, 0
		case isWeight:
			weight, weighed = w, true
		}
	}
	return item, weight, how
}

// readParameter reads a parameter of a media range (RFC 9110 §5.6.6), and tells whether it is the weight. An empty
// parameter is valid and no weight.
func readParameter(parameter string) (weight int16, isWeight, ok bool) {
	parameter = TrimOWS(parameter)
	if parameter == "" {
		return 0, false, true
	}
	name, value, _ := strings.Cut(parameter, "=")
	switch {
	case name == "q" || name == "Q":
		weight, ok = lenientWeight(value)
		return weight, true, ok
	case !isToken(name):
		return 0, false, false
	case isToken(value):
		return 0, false, true
	}
	return 0, false, isQuoted(value)
}

// lenientWeight reads a weight, also without the 0 before its point: Java has long sent "*; q=.2".
func lenientWeight(value string) (int16, bool) {
	if len(value) > 1 && len(value) < 5 && value[0] == '.' {
		value = "0" + value
	}
	return qvalue(value)
}

// parseLenientWeight is parseWeight with lenientWeight.
func parseLenientWeight(parameter string) (int16, bool) {
	name, value, _ := strings.Cut(TrimOWS(parameter), "=")
	if name != "q" && name != "Q" {
		return 0, false
	}
	return lenientWeight(value)
}

// isQuoted reports whether a value is one quoted-string of printable ASCII (RFC 9110 §5.6.4, without obs-text).
func isQuoted(value string) bool {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return false
	}
	inner := value[1 : len(value)-1]
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '\\':
			if i++; i >= len(inner) || inner[i] < ' ' || inner[i] > '~' {
				return false
			}
		case c == '"', c < ' ', c > '~':
			return false
		}
	}
	return true
}

// appendMediaRange appends a media range in lower case, without its weight. The values of its parameters stay as they
// are.
func appendMediaRange(dst []byte, item string) []byte {
	name, parameters, _ := strings.Cut(item, ";")
	dst = appendLower(dst, TrimOWS(name))
	for parameters != "" {
		var parameter string
		parameter, parameters = cutUnquoted(parameters, ';')
		parameter = TrimOWS(parameter)
		key, value, _ := strings.Cut(parameter, "=")
		if parameter == "" || key == "q" || key == "Q" {
			continue
		}
		dst = append(dst, ';')
		dst = appendLower(dst, key)
		dst = append(dst, '=')
		dst = append(dst, value...)
	}
	return dst
}

// appendLanguage appends a language tag in the usual spelling: subtags of two letters in upper case and of four letters
// with a capital, unless they come first or after a singleton (RFC 5646 §2.1.1). Of other tokens only the case changes.
func appendLanguage(dst []byte, tag string) []byte {
	for i, single := 0, false; i < len(tag); {
		end := i
		for end < len(tag) && tag[end] != '-' {
			end++
		}
		at := len(dst)
		dst = appendLower(dst, tag[i:end])
		if i > 0 && !single {
			switch end - i {
			case 2:
				upper(dst[at:])
			case 4:
				upper(dst[at : at+1])
			}
		}
		single = single || end-i == 1
		if end < len(tag) {
			dst = append(dst, '-')
		}
		i = end + 1
	}
	return dst
}

func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func upper(b []byte) {
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - ('a' - 'A')
		}
	}
}
