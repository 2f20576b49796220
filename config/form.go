package config

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"regexp"
	"time"
)

// form says how a value is written, parsed and shown.
type form struct {
	called string // name of the form in the reference
	shape  shape
	parse  func(text string) (any, error) // parses a single value; the error follows the quoted text in a sentence
	show   func(value any) any            // the value for GET /config
	zero   any                            // the value where no value is written and there is no default
	each   *form                          // form of an entry of a list
	orWord string                         // dictionary only: word that may stand in place of the dictionary
	orFlag string                         // section only: flag that the word none, in place of the section, sets
	words  []string                       // all allowed words, where the vocabulary is closed
	keys   section                        // keys of a mapping, or of each mapping in a list
}

// shape is the kind of a value in YAML.
type shape uint8

const (
	single     shape = iota // one value
	several                 // a list of texts
	oneOrMore               // a list of texts; a single text may stand without brackets
	namesOrAll              // a list of texts, or the word all; read as listOrAll
	dictionary              // a mapping whose keys the user chooses
	mapping                 // a section
	mappings                // a list of sections
)

// The forms of single values.
var (
	aText       = one("text", func(s string) (string, error) { return s, nil }, asItIs)
	aSecret     = one("secret", func(s string) (string, error) { return s, nil }, func(s string) any { return secret(s) })
	aFlag       = one("true or false", parseBool, asItIs)
	aNumber     = one("number", parseInt, asItIs)
	aDuration   = one("duration", parseDuration, func(d time.Duration) any { return d.String() })
	aSize       = one("size", parseSize, asItIs)
	aByteCount  = one("size, or bytes", parseBytes, asItIs)
	aMemorySize = one("size, or auto", parseMemory, func(m memorySize) any { return m.bytes })
	aShare      = one("share", parseShare, asItIs)
	aPercentage = one("share", parseShare, func(share float64) any { return ShareText(share) })
	aLogLevel   = shownAs(aWordOf(logLevels), slog.Level.String)
	aTLSVersion = shownAs(aWordOf(tlsVersions), tls.VersionName)
)

// The forms of list entries that not every text fits.
var (
	aMediaType    = aTextLike(mediaType, "is not a media type; write one without parameters, such as application/json or image/*")
	aParameter    = aNameOf("parameter", "page", "utm_*", "unlisted: key, or unlisted: drop")
	aName         = aNameOf("parameter", "page", "", "")
	aHeader       = aNameOf("header", "X-Tenant", "", "")
	aHeaderFamily = aNameOf("header", "X-Client-Version", "X-Client-*", "unlisted_headers: drop")
	aCookie       = aNameOf("cookie", "region", "", "")
	aCookieFamily = aNameOf("cookie", "consent", "_ga*", "ignore_cookies: all")
	aURLTemplate  = aTextLike(urlTemplate, "is neither a path nor a URL; begin it with / or http://")
	aPathTemplate = aTextLike(pathTemplate, "has a query, but a prefix ends at a path segment; write the path only, or use urls:")
	aPrefix       = one("text", both(aPathTemplate, aURLTemplate), asItIs)
	aNetwork      = one("text", parseNetworks, asItIs)
	aTarget       = one("text", parseTarget, asItIs)
	aSite         = aTextLike(hostForm, "is not the name of a host; write one such as shop.example, without a scheme")
	aTagPrefix    = aTextLike(tagPrefix, "is not how a tag can begin; write the beginning as it is, such as cat_, or for every tag tags: all")
)

// The forms of several values.
var (
	aList         = aListOf(aText)
	secretList    = &form{called: "list", shape: several, each: aSecret, zero: []string(nil), show: hiddenEach}
	aTextOrList   = &form{called: "text, or a list", shape: oneOrMore, each: aText, zero: []string(nil), show: asItIs[any]}
	networksOrOne = &form{called: "text, or a list", shape: oneOrMore, each: aNetwork, zero: []string(nil), show: asItIs[any]}
	// GET /config shows the other addresses beside the first.
	anAddressOrList = shownAs(aTextOrList, func(addresses []string) string { return addresses[0] })
	cookiesOrAll    = &form{called: "list, or all", shape: namesOrAll, each: aCookieFamily, zero: listOrAll{}, show: func(value any) any { return value.(listOrAll).shown() }}
	listsByName     = &form{called: "texts or lists, by name", shape: dictionary, each: aTextOrList, zero: map[string][]string(nil), show: func(value any) any { return oneEach(value.(map[string][]string)) }}
	tagsOrAll       = &form{called: "list, or all", shape: namesOrAll, each: aTagPrefix, zero: listOrAll{}, show: func(value any) any { return value.(listOrAll).shown() }}
	textsByName     = &form{called: "texts by name", shape: dictionary, zero: map[string]string(nil), show: asItIs[any]}
	textsOrNone     = &form{called: "texts by name, or none", shape: dictionary, orWord: noneWord, zero: map[string]string(nil), show: orNone}
	secretsByName   = &form{called: "secrets by name", shape: dictionary, zero: map[string]string(nil), show: hidden}
)

// noneWord is the word for an explicit nothing, such as authorize: none.
const noneWord = "none"

// orNone shows a dictionary, or the word none where that was written in place of the dictionary.
func orNone(value any) any {
	if _, none := value.(map[string]string)[noneWord]; none {
		return noneWord
	}
	return value
}

// listOrAll is a list of names, or the word all.
type listOrAll struct {
	all   bool
	names []string
}

func (l listOrAll) shown() any {
	if l.all {
		return []string{"all"}
	}
	return l.names
}

// none reports whether the value is empty.
func (f *form) none(value any) bool {
	switch value := value.(type) {
	case []string:
		return len(value) == 0
	case map[string]string:
		return len(value) == 0
	case map[string][]string:
		return len(value) == 0
	case listOrAll:
		return !value.all && len(value.names) == 0
	}
	return f.words == nil && value == f.zero
}

// aTextLike is the form of a text that fits the pattern.
func aTextLike(pattern *regexp.Regexp, otherwise string) *form {
	return one("text", func(text string) (string, error) {
		if !pattern.MatchString(text) {
			return "", errors.New(otherwise)
		}
		return text, nil
	}, asItIs)
}

// both parses a text that has to fit two forms, and returns the second form's value.
func both(first, second *form) func(string) (any, error) {
	return func(text string) (any, error) {
		if _, err := first.parse(text); err != nil {
			return nil, err
		}
		return second.parse(text)
	}
}

// aListOf is the form of a list whose entries have one form each.
func aListOf(each *form) *form {
	return &form{called: "list", shape: several, each: each, zero: []string(nil), show: asItIs[any]}
}

// one is the form of a single value, read by parse.
func one[T any](called string, parse func(string) (T, error), show func(T) any) *form {
	var zero T
	return &form{
		called: called, zero: zero, show: func(value any) any { return show(value.(T)) },
		parse: func(text string) (any, error) { return parse(text) },
	}
}

// aWordOf is the form of one word out of a closed vocabulary.
func aWordOf[T comparable](choices []choice[T]) *form {
	f := one("word", func(text string) (T, error) { return pick(text, choices) }, func(v T) any { return word(choices, v) })
	for _, c := range choices {
		f.words = append(f.words, c.name)
	}
	return f
}

// aSection is the form of a mapping with known keys.
func aSection(keys section) *form { return &form{called: "section", shape: mapping, keys: keys} }

// orNoneFor is the form of a mapping with known keys, or of the word none in place of a mapping that sets nothing but
// the flag.
func orNoneFor(flag string, keys section) *form {
	return &form{called: "section, or none", shape: mapping, keys: keys, orFlag: flag}
}

// sections is the form of a list of mappings with known keys.
func sections(keys section) *form {
	return &form{called: "list of sections", shape: mappings, keys: keys}
}

// shownAs is the form with another show function.
func shownAs[T any](f *form, show func(T) string) *form {
	other := *f
	other.show = func(value any) any { return show(value.(T)) }
	return &other
}

func asItIs[T any](value T) any { return value }

// oneEach shows a list of one text as that text.
func oneEach(lists map[string][]string) any {
	all := map[string]any{}
	for name, list := range lists {
		if all[name] = list; len(list) == 1 {
			all[name] = list[0]
		}
	}
	return all
}

func hiddenEach(value any) any {
	var all []secret
	for _, text := range value.([]string) {
		all = append(all, secret(text))
	}
	return all
}

func hidden(value any) any {
	all := map[string]secret{}
	for name, text := range value.(map[string]string) {
		all[name] = secret(text)
	}
	return all
}
