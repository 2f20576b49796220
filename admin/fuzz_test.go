package admin

import (
	"math"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"cacheproxy/policy"
)

func FuzzPurgeOrder(f *testing.F) {
	for _, seed := range []string{
		`{"keys":["a"]}`, `{"all":true,"confirm":true}`, `{"keys":["a"],"keys":[]}`, `{"urls":["/a?b"],"soft":true,"wait":"none"}`,
		`{"Keys":["a"]}`, `{"keys":[null]}`, `{"keys":["\ud800"]}`, `{`, `{}{}`, "{\"keys\":[\"\xff\"]}", `{"prefixes":["http://h/"]}`,
	} {
		f.Add(seed)
	}
	h := &handler{Options: newListener().Options}
	f.Fuzz(func(t *testing.T, body string) {
		o, err := readPurgeOrder([]byte(body))
		if err != nil {
			if p := problemOf(err); p.status < 400 || p.status >= 500 {
				t.Fatalf("status %d for %q", p.status, body)
			}
			return
		}
		if o.kind() == "" || o.all && !strings.Contains(body, "confirm") {
			t.Fatalf("accepted %+v", o)
		}
		members, err := h.membersOf(o, nil)
		if err == nil && len(members) == 0 {
			t.Fatalf("an order that names nothing: %q", body)
		}
		for _, m := range members {
			if m != policy.All && m.Value() == "" && m.Kind() != policy.KindPrefix {
				t.Fatalf("empty member of %q", body)
			}
		}
	})
}

func FuzzModeOrder(f *testing.F) {
	for _, seed := range []string{
		`{"mode":"on"}`, `{"mode":"off","for":"1h"}`, `{"mode":"observe","share":"0.5%","for":"1h"}`, `{"mode":"on","share":"1e1%"}`, `{"mode":"off","share":"1%"}`,
		`{"share":"NaN%"}`, `{"mode":"on","share":"0x1p3%"}`, `{"mode":"on","for":"-1h"}`, `{`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		o, err := readModeOrder([]byte(body))
		if err != nil {
			return
		}
		if !(o.Share > 0 && o.Share <= 1) || o.For < 0 || o.Reset || o.Mode == policy.Off && o.Share < 1 {
			t.Fatalf("accepted %+v", o)
		}
		if again, err := parseShare(PercentOf(o.Share)); err != nil || math.Abs(again-o.Share) > 1e-6 {
			t.Fatalf("share %v is shown as %s, which is %v, %v", o.Share, PercentOf(o.Share), again, err)
		}
	})
}

func FuzzUnescape(f *testing.F) {
	for _, seed := range []string{"a", "a%2Fb", "a%252Fb", "%", "%zz", "a+b", "", "%00", "a//../b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if name, err := unescape(url.PathEscape(raw)); raw != "" && (err != nil || name != raw) {
			t.Fatalf("%q came back as %q, %v", raw, name, err)
		}
		name, err := unescape(raw)
		if err == nil && !strings.Contains(raw, "%") && name != raw {
			t.Fatalf("%q has no escapes and became %q", raw, name)
		}
	})
}

// What is refused for its signs is accepted as soon as these are encoded, and then names what was meant.
func FuzzLiteral(f *testing.F) {
	for _, seed := range []string{"/a", "/.*", "/(.*)/**", "/^a|b$", "/a?q=*", "/a?.**$", "/?.*.*x*", "/{id}/[0-9]+?a[]=.$", `/a\.b`, "v2:*:.*", "((^|,)a(,|$))"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if name, err := unescape(percentEncode(raw)); raw != "" && (err != nil || name != raw || checkName(policy.KindTag, percentEncode(raw), name) != nil) {
			t.Fatalf("%q cannot be purged as a tag: %q, %v", raw, name, err)
		}
		target, err := splitTarget(raw)
		if err != nil || strings.Contains(raw, "%") || target.Host != "" {
			return
		}
		encoded := target
		encoded.Path, encoded.Query = encodeSigns(target.Path, signInPath), encodeSigns(target.Query, signInQuery)
		if err := checkLiteral(encoded, false); err != nil {
			t.Fatalf("%q as %q: %v", raw, encoded, err)
		}
		h := &handler{Options: newListener().Options}
		named := distinct(h.urlMembers(encoded))
		for m := range distinct(h.urlMembers(target)) {
			if !named[m] {
				t.Fatalf("%q as %q does not name %q", raw, encoded, m)
			}
		}
	})
}

// encodeSigns does what the answers to patterns say, until there is none.
func encodeSigns(s string, signs *regexp.Regexp) string {
	for at := signs.FindStringIndex(s); at != nil; at = signs.FindStringIndex(s) {
		literal := strings.Trim(s[at[0]:at[1]], "./")
		i := at[0] + strings.Index(s[at[0]:at[1]], literal)
		s = s[:i] + percentEncode(literal) + s[i+len(literal):]
	}
	return s
}

func FuzzSplitTarget(f *testing.F) {
	for _, seed := range []string{"/", "/a?b", "http://h", "http://h?x", "HTTPS://H:1/a//b?", "//h/p", "*", "http://u@h/", "h:80", "/a#b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := splitTarget(raw)
		if err != nil {
			return
		}
		if !strings.HasPrefix(target.Path, "/") || strings.Contains(target.Path, "?") || (target.Host == "") != (target.Scheme == "") {
			t.Fatalf("%q became %+v", raw, target)
		}
		back := target.Path
		if target.HasQuery {
			back += "?" + target.Query
		}
		if !strings.HasSuffix(raw, back) && target.Path != "/" {
			t.Fatalf("%q was changed: %+v", raw, target)
		}
	})
}
