package httpcache

import (
	"strings"
	"time"
)

// maxDelta is the largest number of seconds; larger ones are reduced to it (RFC 9111 §1.2.2).
const maxDelta = (1 << 31) * time.Second

// Directives has the directives of all Cache-Control field lines of one message (RFC 9111 §5.2). The zero value stands
// for a message without the field. Of a repeated directive, the value counts that makes the response least fresh
// (§4.2.1).
type Directives struct {
	NoStore         bool
	NoCache         bool // also when qualified: no-cache="x" is read as no-cache
	Private         bool // also when qualified: private="x" is read as private
	Public          bool
	MustRevalidate  bool
	ProxyRevalidate bool
	MustUnderstand  bool
	OnlyIfCached    bool // of requests (§5.2.1.7)

	// The durations count only where their Has flag is set. An argument that is not a number counts as zero, which
	// makes such a response stale (§4.2.1).

	MinFresh, MaxStale       time.Duration // of requests (§5.2.1.2, §5.2.1.3); a max-stale without argument is maxDelta
	HasMinFresh, HasMaxStale bool

	MaxAge, SMaxAge, StaleWhileRevalidate, StaleIfError             time.Duration
	HasMaxAge, HasSMaxAge, HasStaleWhileRevalidate, HasStaleIfError bool

	// Targeted says that the directives come from a field for this cache instead of from Cache-Control. Expires is then
	// for other caches too, and does not count (RFC 9213 §2.2).
	Targeted bool

	// A restriction counts however the origin writes it. A permission to share an answer to credentials (§3.5) counts
	// only in the form of the grammar; these two flags say whether must-revalidate and s-maxage have that form.
	sharesByMustRevalidate, sharesBySMaxAge bool

	// Malformed is set when a name or an argument in the field is neither a token nor a quoted-string, as with ";" or a
	// space between directives, or a quote that never ends. Such a field may have forbidden anything, so the response
	// is not to be stored. (§4.2.1 encourages caches to take the response for stale; stored, it could still be served
	// stale.)
	Malformed bool
}

// ParseDirectives reads Cache-Control field lines. As RFC 9111 §5.2 asks of recipients, it accepts names in any case,
// arguments as token or quoted-string for every directive, and unknown directives.
func ParseDirectives(lines []string) Directives {
	var d Directives
	for _, line := range lines {
		d.parseLine(line)
	}
	return d
}

func (d *Directives) parseLine(line string) {
	sound := true
	for rest := strings.TrimLeft(line, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
		end := strings.IndexAny(rest, "=,")
		if end < 0 {
			end = len(rest)
		}
		rawName := rest[:end]
		name := strings.TrimRight(rawName, " \t")
		rest = rest[end:]
		sound = sound && isToken(name)
		var a argument
		if strings.HasPrefix(rest, "=") {
			a, rest = readArgument(rest[1:])
			if a.given = true; name != rawName {
				a.valid = false // the grammar has no space around "=": the name still counts
			}
			sound = sound && a.valid
		}
		d.add(strings.ToLower(name), a)
	}
	if !sound {
		d.Malformed = true
		d.restrict(line)
	}
}

// restrict adds the restricting directives that occur as words anywhere in a text, which may be malformed, and reports
// whether there was any.
func (d *Directives) restrict(text string) (any bool) {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r >= 0x80 || !tokenBytes[r] }) {
		switch word = strings.ToLower(word); word {
		case "no-store", "no-cache", "private", "must-revalidate", "proxy-revalidate":
			d.add(word, argument{given: true}) // must-revalidate without an argument would also be a permission
			any = true
		}
	}
	return any
}

// argument is the text after "=" of a directive.
type argument struct {
	given bool // the directive has a "="
	valid bool // text is a token or a quoted-string
	text  string
}

// readArgument reads an argument from the start of s. rest is the text behind it. The end of an invalid argument is
// uncertain: its text may hide a separator, or a comma in it may not be a separator.
func readArgument(s string) (a argument, rest string) {
	if !strings.HasPrefix(s, `"`) {
		text, rest, _ := strings.Cut(s, ",")
		text = strings.TrimRight(text, " \t")
		return argument{text: text, valid: isToken(text)}, rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			rest := strings.TrimLeft(s[i+1:], " \t")
			if rest != "" && rest[0] != ',' {
				_, rest, _ = strings.Cut(rest, ",")
				return argument{}, rest
			}
			return argument{text: b.String(), valid: true}, rest
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return argument{}, ""
}

// add adds one directive. A restricting directive counts even with an argument that it does not take; a permitting
// directive does not.
func (d *Directives) add(name string, a argument) {
	switch name {
	case "no-store":
		d.NoStore = true
	case "no-cache":
		d.NoCache = true
	case "private":
		d.Private = true
	case "public":
		d.Public = d.Public || !a.given
	case "must-revalidate":
		d.MustRevalidate = true
		d.sharesByMustRevalidate = d.sharesByMustRevalidate || !a.given
	case "proxy-revalidate":
		d.ProxyRevalidate = true
	case "must-understand":
		d.MustUnderstand = true
	case "only-if-cached":
		d.OnlyIfCached = true
	case "min-fresh":
		v, _ := parseDelta(a.text)
		d.MinFresh, d.HasMinFresh = max(v, d.MinFresh), true
	case "max-stale":
		if !a.given {
			a = argument{valid: true, text: "2147483648"}
		}
		least(&d.MaxStale, &d.HasMaxStale, a)
	default:
		if name == "s-maxage" {
			_, ok := parseDelta(a.text)
			d.sharesBySMaxAge = ok && a.valid && (d.sharesBySMaxAge || !d.HasSMaxAge)
		}
		if value, has := d.seconds(name); value != nil {
			least(value, has, a)
		}
	}
}

// seconds has the fields of a directive with delta-seconds; nil for any other directive.
func (d *Directives) seconds(name string) (value *time.Duration, has *bool) {
	switch name {
	case "max-age":
		return &d.MaxAge, &d.HasMaxAge
	case "s-maxage":
		return &d.SMaxAge, &d.HasSMaxAge
	case "stale-while-revalidate":
		return &d.StaleWhileRevalidate, &d.HasStaleWhileRevalidate
	case "stale-if-error":
		return &d.StaleIfError, &d.HasStaleIfError
	}
	return nil, nil
}

// least keeps the smaller of the present value and the argument a.
func least(value *time.Duration, has *bool, a argument) {
	var v time.Duration
	if a.valid {
		v, _ = parseDelta(a.text)
	}
	if !*has || v < *value {
		*value = v
	}
	*has = true
}

// parseDelta reads delta-seconds: digits only, reduced to at most maxDelta (RFC 9111 §1.2.2).
func parseDelta(s string) (time.Duration, bool) {
	n, ok := parsePosition(s)
	return time.Duration(min(n, int64(maxDelta/time.Second))) * time.Second, ok
}

// SharesAuthorized reports whether the origin allows to share the answer to a request with credentials (§3.5).
func (d Directives) SharesAuthorized() bool {
	return d.Public || d.HasSMaxAge && d.sharesBySMaxAge || d.MustRevalidate && d.sharesByMustRevalidate
}
