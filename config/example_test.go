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

// uncommented is the example with every key set, and what it comes to.
func uncommented(t *testing.T) (lines []string, doc *part, d *decoder) {
	t.Helper()
	text, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CACHEPROXY_ADMIN_TOKEN", "0123456789abcdef")
	whole := commented.ReplaceAllString(string(text), "$1$2")
	whole = commented.ReplaceAllString(whole, "$1$2") // a key below one that is commented out itself
	d = &decoder{report: newReport("example"), files: newFiles(t.TempDir())}
	doc = newPart(top, "", d.report)
	d.mapping(d.parse([]byte(whole)), doc)
	return strings.Split(whole, "\n"), doc, d
}

// Every key that can be written stands in the example, set or commented out; what is commented out is valid too.
func TestExampleIsComplete(t *testing.T) {
	_, _, d := uncommented(t)
	for _, p := range d.problems {
		if !strings.Contains(p.Text, "/run/secrets/") {
			t.Errorf("uncommented: %v", p)
		}
	}
	var written []string
	for path := range d.places {
		written = append(written, inList.ReplaceAllString(path, ""))
	}
	top.walk("", inherited, func(path string, _ *key, _ effect) {
		if !slices.Contains(written, path) && !strings.HasPrefix(path, "routes.invalidates.otherwise.") {
			t.Errorf("%s is not in the example", path)
		}
	})
}

// saidDefault is what a line of the example says of a default.
var saidDefault = regexp.MustCompile(`# (?:.*\W)?default:? ([^#]*)`)

// The example is true of every default: a value is the default, or the line says what is. A key that stands there several times is
// explained where it stands first.
func TestExampleTellsDefaults(t *testing.T) {
	lines, doc, d := uncommented(t)
	explained := map[string]bool{}
	var look func(p *part, path string, quiet bool)
	look = func(p *part, path string, quiet bool) {
		for i := range p.keys {
			k := &p.keys[i]
			at := join(path, k.name)
			if k.is.shape == mapping {
				look(p.parts[k.name], at, k.quiet)
			}
			for _, entry := range p.lists[k.name] {
				look(entry, at, false)
			}
			value, written := p.values[k.name]
			line := d.places[p.at(k.name)].line
			if !written || k.required != "" || explained[at] || line == d.places[p.path].line || strings.HasPrefix(at, "routes.invalidates") {
				continue
			}
			explained[at] = true
			said := saidDefault.FindStringSubmatch(lines[line-1])
			holds := strings.Trim(defaultOf(k), "`")
			switch {
			case said == nil && holds == "none" && quiet: // the line of the section says so
			case said == nil && !reflect.DeepEqual(value, k.otherwise()):
				t.Errorf("line %d: %s is not the default, %s, and the line does not say so: %s", line, at, holds, lines[line-1])
			case said != nil && !strings.HasPrefix(said[1], holds):
				t.Errorf("line %d: %s: the default is %s, and the line says %q", line, at, holds, said[1])
			}
		}
	}
	look(doc, "", false)
}

var inList = regexp.MustCompile(`\[[0-9]+\]`)
