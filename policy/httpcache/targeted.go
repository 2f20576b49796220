package httpcache

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

// Response fields for this cache and not for the caches behind it. If one applies, Cache-Control and Expires are for
// other caches (RFC 9213 §2.2).
const (
	// TargetThis is for this cache alone (RFC 9213 §2).
	TargetThis = "Cacheproxy-Cache-Control"
	// TargetCDN is for caches that act on behalf of an origin (RFC 9213 §3.1).
	TargetCDN = "Cdn-Cache-Control"
	// TargetSurrogate has a grammar of its own (W3C Note "Edge Architecture Specification" §2). Fills announce that
	// this cache understands the field; see OfferSurrogate.
	TargetSurrogate = "Surrogate-Control"
)

// surrogate is the name of this cache in Surrogate-Capability and as the target of a directive in Surrogate-Control.
const surrogate = "cacheproxy"

// OfferSurrogate adds Surrogate-Capability to the header of a fill where heeded, the fields that the route uses, has
// Surrogate-Control.
func OfferSurrogate(h http.Header, heeded []string) {
	if !slices.Contains(heeded, TargetSurrogate) {
		return
	}
	h["Surrogate-Capability"] = append(h["Surrogate-Capability"], surrogate+`="Surrogate/1.0"`)
}

// ParseTargeted reads the directives of the first of these fields that is for this cache, is well-formed and has a
// directive. A malformed field counts only where heedMalformed is set. The rules for Set-Cookie and Authorization do
// not change: a targeted public or s-maxage permits to share an answer to credentials as in Cache-Control, and
// Surrogate-Control has no directive that does.
func ParseTargeted(names []string, h http.Header, heedMalformed bool) (Directives, bool) {
	for _, name := range names {
		parse := parseTargeted
		if name == TargetSurrogate {
			parse = parseSurrogate
		}
		if d, ok := parse(h[name]); ok || d.Malformed && heedMalformed {
			d.Targeted = true
			return d, true
		}
	}
	return Directives{}, false
}

// parseTargeted reads a targeted field: a dictionary whose members are directives of Cache-Control (RFC 9213 §2.1). A
// field that is no dictionary, is empty, or has a value of the wrong type is ignored whole.
func parseTargeted(lines []string) (d Directives, ok bool) {
	dictionary, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(dictionary.Names()) == 0 {
		return Directives{}, false
	}
	for _, name := range dictionary.Names() {
		member, _ := dictionary.Get(name)
		item, single := member.(httpsfv.Item)
		if !single {
			return Directives{}, false
		}
		var a argument
		switch value := item.Value.(type) {
		case bool:
			if !value {
				continue // "?0" switches a directive off
			}
		case int64:
			if value < 0 {
				return Directives{}, false
			}
			if v, has := d.seconds(name); v != nil {
				*v, *has = min(time.Duration(value), maxDelta/time.Second)*time.Second, true
				d.sharesBySMaxAge = d.sharesBySMaxAge || name == "s-maxage"
				continue
			}
			a = argument{given: true}
		case string:
			a = argument{given: true, valid: true, text: value}
		default:
			a = argument{given: true}
		}
		if v, _ := d.seconds(name); v != nil {
			return Directives{}, false
		}
		d.add(name, a)
	}
	return d, true
}

// parseSurrogate reads Surrogate-Control: directives separated by commas, each for all surrogates or for those named
// behind semicolons. Of max-age=60+30 the second number, how much longer the copy may be served stale, is not used. The
// field does not apply where it does not tell this cache whether to store. A malformed lifetime counts as zero.
//
// Malformed text may have been for this cache and have forbidden storing. So any form outside of the grammar makes the
// answer less cacheable, never more. The text behind each semicolon must be a surrogate's name; otherwise the directive
// counts for everybody, and the field is malformed. Restricting words of Cache-Control count, although the grammar has
// only no-store of these.
func parseSurrogate(lines []string) (d Directives, ok bool) {
	for _, line := range lines {
		for _, element := range splitUnquoted(line, ',') {
			if element = TrimOWS(element); element == "" {
				continue
			}
			parts := splitUnquoted(element, ';')
			sound, forThis := surrogates(parts[1:])
			if sound && !forThis {
				continue
			}
			name, value, given := strings.Cut(TrimOWS(parts[0]), "=")
			if a, rest := readArgument(value); !sound || !isToken(name) || given && (!a.valid || rest != "") {
				d.Malformed = true
				d.restrict(element)
			}
			d.addSurrogate(strings.ToLower(TrimOWS(name)), value, given)
		}
	}
	d.NoStore = d.NoStore || d.NoCache || d.Private // they forbid storing too
	return d, d.NoStore || d.HasMaxAge
}

// addSurrogate adds one directive of Surrogate-Control.
func (d *Directives) addSurrogate(name, value string, given bool) {
	switch name {
	case "max-age":
		fresh, stale, extended := strings.Cut(value, "+")
		_, valid := parseDelta(stale)
		if !given || extended && !valid {
			fresh = ""
		}
		least(&d.MaxAge, &d.HasMaxAge, argument{given: given, valid: isToken(fresh), text: fresh})
	default:
		d.restrict(name)
	}
}

// surrogates reads the texts behind the semicolons of a directive. sound says that each is the name of a surrogate: a
// token that is no directive. forThis says that the directive is for this cache: names has this cache, or is empty.
func surrogates(names []string) (sound, forThis bool) {
	sound, forThis = true, len(names) == 0
	for _, name := range names {
		name = TrimOWS(name)
		forThis = forThis || name == surrogate
		switch strings.ToLower(name) {
		case "max-age", "content", "no-store-remote":
			sound = false
		}
		sound = sound && isToken(name) && !new(Directives).restrict(name)
	}
	return sound, forThis
}
