package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"cacheproxy/policy"
)

// key is a row of the table: everything about a key but its use. Decoding, overrides, defaults, the policies that use
// the key, changes, GET /config, the reference and the schema for editors are made from rows.
type key struct {
	name      string
	is        *form         // form of the value
	byDefault string        // the default, as a user would write it; empty: no default, or see derived
	derived   string        // the default in words, where other keys decide the default
	required  string        // text of the problem where the key is missing; empty: the key is optional
	positive  bool          // zero is refused
	zeroWould string        // reason for refusing zero, where the reason is not obvious
	refuse    refusal       // refuses other values; nil: none
	heededBy  []policy.Kind // on a route: the policies that use the key; nil: all
	takes     effect        // when a change of the key takes effect
	quiet     bool          // not shown: a number that is zero, or a section that is not in force
	means     string        // the key's effect, in a sentence for the reference and for editors
}

// section is the keys of a mapping, in the order in which GET /config shows them.
type section []key

// effect says when a change of a key takes effect. A key in a section takes effect as the section does, unless the
// key's row says otherwise.
type effect uint8

const (
	inherited   effect = iota // zero value: as the section around the key; at the top, after a reload
	afterReload               // at the next request, connection or copy after a reload
	atStart                   // when the process starts again
	switched                  // of a section: its presence as atStart, its keys as afterReload
)

// row is the row of the key with that name.
func (s section) row(name string) (*key, bool) {
	i := slices.IndexFunc(s, func(k key) bool { return k.name == name })
	if i < 0 {
		return nil, false
	}
	return &s[i], true
}

func (s section) names() []string {
	names := make([]string, len(s))
	for i, k := range s {
		names[i] = k.name
	}
	return names
}

// walk calls f for every key with its path: a section before the keys in it, and a list as if it had one entry.
func (s section) walk(path string, takes effect, f func(path string, k *key, takes effect)) {
	for i := range s {
		k := &s[i]
		at, when := join(path, k.name), takes
		if k.takes != inherited {
			when = k.takes
		}
		f(at, k, when)
		if when == switched {
			when = afterReload
		}
		k.is.keys.walk(at, when, f)
	}
}

// heeds reports whether routes with the policy use the key.
func (k *key) heeds(kind policy.Kind) bool {
	return k.heededBy == nil || slices.Contains(k.heededBy, kind)
}

// otherwise is the value of a key that is not written.
func (k *key) otherwise() any {
	switch {
	case k.byDefault == "":
		return k.is.zero
	case k.is.shape != single:
		return splitList(k.byDefault)
	}
	value, err := k.is.parse(k.byDefault)
	if err != nil {
		panic("BUG: the default of " + k.name + " " + err.Error())
	}
	return value
}

// refuseZero is the problem's text where zero is refused, with a value to write instead.
func (k *key) refuseZero() string {
	text := "is zero"
	if k.zeroWould != "" {
		text += ", which would " + k.zeroWould
	}
	if k.byDefault != "" {
		return text + "; write " + k.byDefault + ", the default, or another " + k.is.called
	}
	return text + "; write " + map[string]string{"duration": "a duration such as 10m", "number": "a number such as 64"}[k.is.called] + ", or remove it"
}

// splitList is the list for a text such as "[a, b]".
func splitList(text string) []string {
	if text = strings.Trim(text, "[]"); text == "" {
		return nil
	}
	return strings.Split(text, ", ")
}

// refusal checks a value and returns the problem with a remedy. The empty text: the value is fine.
type refusal func(value any) string

// refuse makes a refusal with one text for all values that wrong accepts.
func refuse[T any](wrong func(T) bool, text string) refusal {
	return func(value any) string {
		if wrong(value.(T)) {
			return text
		}
		return ""
	}
}

// unlike makes a refusal of texts that do not match the pattern. The problem quotes the text.
func unlike(pattern *regexp.Regexp, otherwise string) refusal {
	return func(value any) string {
		if text := value.(string); !pattern.MatchString(text) {
			return quote(text) + " " + otherwise
		}
		return ""
	}
}

// notAName refuses texts that cannot be names; the problem shows example.
func notAName(example string) refusal {
	return unlike(nameForm, "is not a name; use up to 64 letters, digits, dots, dashes and underscores, such as "+example)
}

// notAServer refuses texts that no certificate can be for. An empty text is refused where TLS is compiled.
var notAServer = unlike(regexp.MustCompile("^$|"+serverName.String()), "is not a name that a certificate can have; write one such as api.example.com, without a port")

// outside refuses values below least and values above most.
func outside[T cmp.Ordered](least, most T, less, more string) refusal {
	return func(value any) string {
		switch value := value.(T); {
		case value < least:
			return less
		case value > most:
			return more
		}
		return ""
	}
}

// Keys lists the keys at the top of a configuration.
func Keys() []string { return top.names() }
