package config

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"cacheproxy/policy"
)

// part is one section of a document: the written values by key, and the values in force. newPart makes a part for every
// section in the section, written or not; the report knows which were written. Reading a key that the table lacks, or
// as another type than the table's, panics: such a call is a mistake in the program.
type part struct {
	keys   section
	path   string
	report *report
	policy policy.Kind // for a route: keys that its policy does not use have no default

	values map[string]any     // as written
	parts  map[string]*part   // the sections in this section
	lists  map[string][]*part // the lists of sections in this section

	resolved map[string]any     // values in force that are neither the written value nor the default
	beside   map[string][]Field // fields that GET /config shows after a key and that are no keys
	there    bool               // a quiet section is in force
	content  map[string]digest  // of the files that keys name
}

func newPart(keys section, path string, r *report) *part {
	p := &part{
		keys: keys, path: path, report: r, values: map[string]any{}, parts: map[string]*part{}, lists: map[string][]*part{},
		resolved: map[string]any{}, beside: map[string][]Field{}, content: map[string]digest{},
	}
	for _, k := range keys {
		if k.is.shape == mapping {
			p.parts[k.name] = newPart(k.is.keys, join(path, k.name), r)
		}
	}
	return p
}

// at is the path of a key, or of an entry such as headers[0]. An empty name gives the section's own path.
func (p *part) at(name string) string {
	if p.path == "" || name == "" {
		return p.path + name
	}
	return p.path + "." + name
}

// has reports whether the value under the name was written and is usable so far.
func (p *part) has(name string) bool { return p.report.has(p.at(name)) }

// spoiled reports whether the value under the name was refused.
func (p *part) spoiled(name string) bool { return p.report.places[p.at(name)].spoiled }

// written reports whether the section or a key in it was written, in the file or in the environment.
func (p *part) written() bool {
	if _, written := p.report.places[p.path]; written {
		return true
	}
	for path := range p.report.places {
		if strings.HasPrefix(path, p.path+".") {
			return true
		}
	}
	return false
}

func (p *part) problem(name, format string, args ...any) {
	p.report.problem(p.at(name), format, args...)
}

func (p *part) spoil(name, format string, args ...any) { p.report.spoil(p.at(name), format, args...) }

func (p *part) warn(name, format string, args ...any) { p.report.warn(p.at(name), format, args...) }

// entries yields the entries of a list that are not refused, each with its name for reports. entries reports and spoils
// an entry that its form refuses.
func (p *part) entries(name string) iter.Seq2[string, string] {
	k := p.row(name)
	list, _ := p.value(k).([]string)
	if either, ok := p.value(k).(listOrAll); ok {
		list = either.names
	}
	return func(yield func(at, text string) bool) {
		for i, text := range list {
			at := index(name, i)
			if p.spoiled(at) {
				continue
			}
			if _, err := k.is.each.parse(text); err != nil {
				p.spoil(at, "%s %w", quote(text), err)
			} else if !yield(at, text) {
				return
			}
		}
	}
}

func (p *part) row(name string) *key {
	k, ok := p.keys.row(name)
	if !ok {
		panic(fmt.Sprintf("BUG: the table has no key %s", p.at(name)))
	}
	return k
}

// value is the written value of the key, else its default. A key that the route's policy does not use has the zero
// value.
func (p *part) value(k *key) any {
	if v, written := p.values[k.name]; written {
		return v
	}
	if !k.heeds(p.policy) {
		return k.is.zero
	}
	return k.otherwise()
}

// read is the value of a key, as its type in the table.
func read[T any](p *part, name string) T {
	v, ok := p.value(p.row(name)).(T)
	if !ok {
		panic(fmt.Sprintf("BUG: %s is %s in the table, and is not read as such", p.at(name), p.row(name).is.called))
	}
	return v
}

func (p *part) text(name string) string            { return read[string](p, name) }
func (p *part) flag(name string) bool              { return read[bool](p, name) }
func (p *part) number(name string) int             { return read[int](p, name) }
func (p *part) bytes(name string) int64            { return read[int64](p, name) }
func (p *part) duration(name string) time.Duration { return read[time.Duration](p, name) }
func (p *part) share(name string) float64          { return read[float64](p, name) }
func (p *part) list(name string) []string          { return slices.Clone(read[[]string](p, name)) }

// Part is the section under a key.
func (p *part) Part(name string) *part {
	if p.row(name).is.shape != mapping {
		panic(fmt.Sprintf("BUG: %s is no section in the table", p.at(name)))
	}
	return p.parts[name]
}

func (p *part) sections(name string) []*part { return p.lists[p.row(name).name] }

// inForce is the value in force under a key.
func (p *part) inForce(k *key) any {
	if value, known := p.resolved[k.name]; known {
		return value
	}
	return p.value(k)
}

// setInForce records the value in force under a key, where that differs from the written value.
func (p *part) setInForce(name string, value any) { p.resolved[p.row(name).name] = value }
