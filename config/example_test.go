package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The example is valid as it stands, and warns only where it shows how to relax a safety.
func TestExampleIsValid(t *testing.T) {
	s, err := Load("../config.example.yaml", Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range s.Warnings {
		if !strings.HasSuffix(w.Path, ".override") && !strings.HasSuffix(w.Path, ".ignore_cookies") && !strings.HasSuffix(w.Path, ".ignore_headers") {
			t.Errorf("unexpected warning: %v", w)
		}
	}
}

// commented is a line of the example that shows a key without setting it.
var commented = regexp.MustCompile(`(?m)^( *)# ( *(?:# *)?(?:- )?\{?[a-z0-9_]+:)`)

// Every key that can be written stands in the example, set or commented out; what is commented out is valid too.
func TestExampleIsComplete(t *testing.T) {
	text, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CACHEPROXY_ADMIN_TOKEN", "0123456789abcdef")
	whole := commented.ReplaceAllString(string(text), "$1$2")
	whole = commented.ReplaceAllString(whole, "$1$2") // a key below one that is commented out itself
	l := newLoader("example", t.TempDir())
	l.mapping(l.parse([]byte(whole)), newPart(top, ""))
	for _, p := range l.problems {
		if !strings.Contains(p.Text, "/run/secrets/") {
			t.Errorf("uncommented: %v", p)
		}
	}
	var written []string
	for path := range l.places {
		written = append(written, inList.ReplaceAllString(path, ""))
	}
	top.walk("", inherited, func(path string, _ *key, _ effect) {
		if !slices.Contains(written, path) && !strings.HasPrefix(path, "routes.invalidates.otherwise.") {
			t.Errorf("%s is not in the example", path)
		}
	})
}

var inList = regexp.MustCompile(`\[[0-9]+\]`)
