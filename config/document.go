package config

import (
	"fmt"
	"slices"
	"time"

	"cacheproxy/policy"
)

// Part is one section of a document: the values that were written, by key, and what they have come to. A section in it is there
// even where it was not written; the loader knows what was. Reading a key that the table does not have, or as something else
// than what it is there, is a mistake in the program and panics.
type Part struct {
	keys   section
	path   string
	policy policy.Kind // of a route: its keys that the policy does not heed have no default

	values map[string]any     // as written
	parts  map[string]*Part   // the sections in it
	lists  map[string][]*Part // the lists of sections in it

	resolved map[string]any     // what is in force where that is not what was written, nor the default
	beside   map[string][]Field // what is shown after a key, and is none
	there    bool               // a quiet section is in force
}

func newPart(keys section, path string) *Part {
	p := &Part{
		keys: keys, path: path, values: map[string]any{}, parts: map[string]*Part{}, lists: map[string][]*Part{},
		resolved: map[string]any{}, beside: map[string][]Field{},
	}
	for _, k := range keys {
		if k.is.shape == mapping {
			p.parts[k.name] = newPart(k.is.keys, join(path, k.name))
		}
	}
	return p
}

// at is the path of a key.
func (p *Part) at(name string) string { return join(p.path, name) }

func (p *Part) row(name string) *key {
	k, ok := p.keys.row(name)
	if !ok {
		panic(fmt.Sprintf("BUG: the table has no key %s", p.at(name)))
	}
	return k
}

// value is what was written under the key, else what holds by default.
func (p *Part) value(k *key) any {
	if v, written := p.values[k.name]; written {
		return v
	}
	if !k.heeds(p.policy) {
		return k.is.zero
	}
	return k.otherwise()
}

// read is the value of a key of which the type is known.
func read[T any](p *Part, name string) T {
	v, ok := p.value(p.row(name)).(T)
	if !ok {
		panic(fmt.Sprintf("BUG: %s is %s in the table, and is not read as such", p.at(name), p.row(name).is.called))
	}
	return v
}

func (p *Part) text(name string) string            { return read[string](p, name) }
func (p *Part) flag(name string) bool              { return read[bool](p, name) }
func (p *Part) number(name string) int             { return read[int](p, name) }
func (p *Part) bytes(name string) int64            { return read[int64](p, name) }
func (p *Part) duration(name string) time.Duration { return read[time.Duration](p, name) }
func (p *Part) share(name string) float64          { return read[float64](p, name) }
func (p *Part) list(name string) []string          { return slices.Clone(read[[]string](p, name)) }

// section is the section under a key, and sections the list of them.
func (p *Part) section(name string) *Part {
	if p.row(name).is.shape != mapping {
		panic(fmt.Sprintf("BUG: %s is no section in the table", p.at(name)))
	}
	return p.parts[name]
}

func (p *Part) sections(name string) []*Part { return p.lists[p.row(name).name] }

// inForce is what is in force under a key.
func (p *Part) inForce(k *key) any {
	if value, known := p.resolved[k.name]; known {
		return value
	}
	return p.value(k)
}

// setInForce says what is in force under a key, where that is not what was written.
func (p *Part) setInForce(name string, value any) { p.resolved[p.row(name).name] = value }
