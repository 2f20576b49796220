package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"cacheproxy/policy"
)

// key is a row of the table: all that is known of a key without its use. Decoding, overrides, defaults, the policies that heed
// it, changes, what GET /config shows, the reference and the schema for editors are made of it.
type key struct {
	name      string
	is        *form         // how its value is written
	byDefault string        // what holds where it is not written, as it would be written; empty: none, or see derived
	derived   string        // where other keys decide what holds: in words
	required  string        // it has to be written: what is said where it is not; empty: it need not
	positive  bool          // zero is refused
	zeroWould string        // why, where that is not plain
	refuse    refusal       // what else is refused; nil: nothing
	heededBy  []policy.Kind // on a route: by which policies; nil: by all
	takes     effect        // when a change of it is in force
	quiet     bool          // a number that is not shown where it is zero, or a section that is not shown where it is not in force
	means     string        // what it does, in a sentence for the reference and for editors
}

// section is the keys of a mapping, in the order in which they are shown.
type section []key

// effect says when a change of a key is in force. A key in a section takes effect as the section does, unless it says so itself.
type effect uint8

const (
	inherited   effect = iota // as the section around it; at the top: after a reload. The zero value
	afterReload               // at the next request, connection or copy after a reload
	atStart                   // when the process starts again
	switched                  // of a section: its being there when the process starts again, what is in it after a reload
)

// row is the key of that name.
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

// walk calls f for every key with its path, sections before what is in them, and lists as if they had one entry.
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

// heeds reports whether routes with the policy heed the key.
func (k *key) heeds(kind policy.Kind) bool {
	return k.heededBy == nil || slices.Contains(k.heededBy, kind)
}

// otherwise is the value where the key is not written.
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

// refuseZero says what to write instead of zero.
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

// splitList is the list that "[a, b]" stands for.
func splitList(text string) []string {
	if text = strings.Trim(text, "[]"); text == "" {
		return nil
	}
	return strings.Split(text, ", ")
}

// refusal says what is wrong with a value, and what to write instead; empty: nothing is wrong.
type refusal func(value any) string

// refuse is the refusal of values that are as wrong says.
func refuse[T any](wrong func(T) bool, text string) refusal {
	return func(value any) string {
		if wrong(value.(T)) {
			return text
		}
		return ""
	}
}

// unlike is the refusal of texts that do not fit the pattern, which are shown.
func unlike(pattern *regexp.Regexp, otherwise string) refusal {
	return func(value any) string {
		if text := value.(string); !pattern.MatchString(text) {
			return quote(text) + " " + otherwise
		}
		return ""
	}
}

// notAName is the refusal of texts that cannot be names, with one that can.
func notAName(example string) refusal {
	return unlike(nameForm, "is not a name; use up to 64 letters, digits, dots, dashes and underscores, such as "+example)
}

// notAServer is the refusal of texts that no certificate can be for. An empty one is refused where TLS is compiled.
var notAServer = unlike(regexp.MustCompile("^$|"+serverName.String()), "is not a name that a certificate can have; write one such as api.example.com, without a port")

// outside is the refusal of values that are less than least or more than most.
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
