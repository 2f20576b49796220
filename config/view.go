package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// View is a section as GET /config shows it: the values in force, after defaults, environment and flags, without
// secrets. View marshals as an object of its fields, in their order.
type View []Field

// Field is a name and the value shown under that name.
type Field struct {
	Name  string
	Value any
}

// MarshalJSON is the object of the fields. Escapes beyond JSON are left to the encoder around.
func (v View) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, f := range v {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", f.Name)
		if err := encoder.Encode(f.Value); err != nil {
			return nil, fmt.Errorf("show %s: %w", f.Name, err)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// View shows the values in force of the snapshot, in a process that began with start, without secrets. View has a value
// for every key that has a meaning.
func (s *Snapshot) View(start *Snapshot) View {
	v := s.doc.since(start.doc, afterReload)
	var warnings []string
	for _, w := range s.Warnings {
		warnings = append(warnings, w.String())
	}
	if len(warnings) > 0 {
		v = append(v, Field{"warnings", warnings})
	}
	return v
}

// Waiting shows, by path, the settings of the snapshot that are not in force in a process that began with start. The
// value nil stands for a removed setting.
func (s *Snapshot) Waiting(start *Snapshot) View {
	waiting := View{}
	for _, c := range s.Changes(start) {
		last := len(waiting) - 1
		if c.Restart && (last < 0 || !strings.HasPrefix(c.Path, waiting[last].Name+".")) {
			waiting = append(waiting, Field{c.Path, s.doc.shownAt(c.Path)})
		}
	}
	return waiting
}

func (p *part) view() View { return p.since(p, afterReload) }

// since is the view of section p in a process that began with section start. takes is the effect of the section.
func (p *part) since(start *part, takes effect) View {
	var v View
	for i := range p.keys {
		k := &p.keys[i]
		when, from := takes, p
		if k.takes != inherited {
			when = k.takes
		}
		if when == atStart {
			from = start
		}
		if k.is.shape == mapping {
			if section, shown := k.sectionSince(p, start, when); shown {
				v = append(v, Field{k.name, section})
			}
		} else if value, shown := k.shownIn(from); shown {
			v = append(v, Field{k.name, value})
		}
		v = append(v, from.beside[k.name]...)
	}
	return v
}

// sectionSince is the view of the section under the key; false: the section is not shown.
func (k *key) sectionSince(p, start *part, takes effect) (View, bool) {
	section, before := p.parts[k.name], start.parts[k.name]
	there := section.there
	if takes == atStart || takes == switched {
		if there = before.there; there && !section.there {
			section = before // a removed section stays in force until the process ends
		}
	}
	if takes == switched {
		takes = afterReload
	}
	return section.since(before, takes), there || !k.quiet
}

// shownIn is the shown value of the key in a part; false: the key is not shown.
func (k *key) shownIn(p *part) (any, bool) {
	switch k.is.shape {
	case mapping:
		section := p.parts[k.name]
		return section.view(), section.there || !k.quiet
	case mappings:
		var list []View
		for _, section := range p.lists[k.name] {
			list = append(list, section.view())
		}
		return list, list != nil || k.byDefault != ""
	}
	value := p.inForce(k)
	return k.is.show(value), !k.optional() || !k.is.none(value)
}

// shownAt is the shown value at the path of a key outside lists; nil: none.
func (p *part) shownAt(path string) any {
	name, below, deeper := strings.Cut(path, ".")
	k, known := p.keys.row(name)
	switch {
	case !known:
		return nil
	case deeper && k.is.shape == mapping:
		return p.parts[name].shownAt(below)
	}
	if value, shown := k.shownIn(p); shown {
		return value
	}
	return nil
}

// optional reports whether the key is hidden while it is empty: lists and texts without a default, and quiet keys.
func (k *key) optional() bool {
	return k.quiet || k.byDefault == "" && (k.is.zero == "" || k.is.shape != single)
}
