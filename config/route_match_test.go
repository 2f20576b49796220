package config

import (
	"strings"
	"testing"
)

// A method that is one slip away from a registered one is warned about; of an API's own methods nothing is said, and characters
// that mean something in regular expressions are taken for themselves where paths have them.
func TestWarningsOfPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"POTS /a": "POST?", "GETS /a": "GET?", "GTE /a": "GET?", "PACTH /a": "PATCH?", "DELET api.example/a": "DELETE?", "OPTION /a": "OPTIONS?",
		"PURGES /a": "PURGE?", "PROPFINDS /a": "PROPFIND?",
		"GET /a": "", "/a": "", "QUERY /a": "", "PURGE /": "", "BAN /": "", "PURGEKEYS /": "", "M-SEARCH /a": "", "VERSION-CONTROL /a": "", "ACL /a": "",
		"SUBSCRIBE /a": "", "FIND /a": "", "LOOK /a": "", "BREW /a": "",
		"/a/{$}": "", "/a/$metadata": "", "/Products(1)/Name": "", "/a+b": "", "/a.b/{rest...}": "", "/items[0]": "", "/~user/": "", "/a(b)": "", "/a|b": "",
	} {
		s, err := load1(t, strings.Replace(oneUpstream, "}]", ", max_in_flight: 1}]", 1)+"routes: [{name: a, match: ["+quote(pattern)+"], policy: bypass}]")
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		got := s.Warnings.Error()
		if want == "" && got != "" || !strings.HasSuffix(got, want) || want != "" && !strings.HasPrefix(got, "cacheproxy.yaml:2: routes[0].match[0]: no such method is registered as ") {
			t.Errorf("%s: warnings %q, want %q", pattern, got, want)
		}
	}
}
