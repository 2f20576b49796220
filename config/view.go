package config

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// View is a section as it is shown: what is in force, after defaults, environment and flags, without secrets. It marshals as an
// object of its fields, in their order.
type View []Field

// Field is what is shown under a name.
type Field struct {
	Name  string
	Value any
}

// MarshalJSON is the object of the fields. What is to be escaped beyond JSON is for the encoder around to say.
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

// View shows the snapshot without its secrets: a value under every key that means something in it.
func (s *Snapshot) View() View {
	v := s.doc.view()
	var warnings []string
	for _, w := range s.Warnings {
		warnings = append(warnings, w.String())
	}
	if len(warnings) > 0 {
		v = append(v, Field{"warnings", warnings})
	}
	return v
}

func (p *part) view() View {
	var v View
	for i := range p.keys {
		k := &p.keys[i]
		if value, shown := k.shownIn(p); shown {
			v = append(v, Field{k.name, value})
		}
		v = append(v, p.beside[k.name]...)
	}
	return v
}

// shownIn is what is shown under the key of a part; false: nothing.
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

// optional reports whether the key is not shown where there is nothing to show: lists and texts, unless they have a default.
func (k *key) optional() bool {
	return k.quiet || k.byDefault == "" && (k.is.zero == "" || k.is.shape != single)
}
