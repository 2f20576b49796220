package config

import (
	"os"
	"reflect"
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
	doc := defaults()
	l.decode(l.parse([]byte(whole)), reflect.ValueOf(doc).Elem(), "")
	for _, p := range l.problems {
		if !strings.Contains(p.Text, "/run/secrets/") {
			t.Errorf("uncommented: %v", p)
		}
	}
	var written []string
	for path := range l.places {
		written = append(written, inList.ReplaceAllString(path, ""))
	}
	for _, path := range allPaths(reflect.TypeFor[document](), "") {
		if !slices.Contains(written, path) && !strings.HasPrefix(path, "routes.invalidates.otherwise.") {
			t.Errorf("%s is not in the example", path)
		}
	}
}

var inList = regexp.MustCompile(`\[[0-9]+\]`)

// allPaths lists every key that can be written, with those in lists.
func allPaths(t reflect.Type, path string) (paths []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			paths = append(paths, allPaths(f.Type, path)...)
			continue
		}
		name := join(path, f.Tag.Get("key"))
		paths = append(paths, name)
		of := f.Type
		if of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if isSection(of) {
			paths = append(paths, allPaths(of, name)...)
		}
	}
	return paths
}
