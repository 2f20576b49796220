package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever the text, loading does not panic, ends, and says on which line what is wrong, one line each.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "testdata/warnings.yaml", "../config.example.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("f.yaml", text, Overrides{})
		if err == nil {
			if s.Table == nil || len(s.Upstreams) == 0 {
				t.Fatalf("a valid snapshot lacks parts: %+v", s)
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("not problems: %v", err)
		}
		lines := 2
		for _, lineBreak := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} { // those of YAML 1.1
			lines += strings.Count(string(text), lineBreak)
		}
		for _, p := range problems {
			if p.File != "f.yaml" || p.Line < 1 || p.Line > lines || p.Text == "" {
				t.Errorf("no place or no text: %#v", p)
			}
			if strings.ContainsAny(p.String(), "\n\r") {
				t.Errorf("more than one line: %q", p.String())
			}
		}
	})
}
