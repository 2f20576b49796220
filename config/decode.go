package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	maxNodes  = 1 << 20 // visited nodes; a small file with aliases in aliases can have billions
	maxMerges = 32      // merge keys in merge keys; an anchor that merges itself has no end
)

// mapping reads n into the part.
func (l *loader) mapping(n *yaml.Node, p *Part) {
	n, ok := l.resolve(n, p.path)
	if !ok {
		return
	}
	l.places[p.path] = place{line: n.Line, path: p.path}
	if n.Kind != yaml.MappingNode {
		l.spoil(p.path, "is %s; write keys below it: %s", kindOf(n), strings.Join(p.keys.names(), ", "))
		return
	}
	for _, e := range l.entries(n, p.path, 0) {
		k, known := p.keys.row(e.key.Value)
		at := p.at(e.key.Value)
		switch {
		case !known:
			l.places[at] = place{line: e.key.Line, path: at, spoiled: true}
			l.problem(at, "%s", unknownKey(e.key.Value, p.keys.names()))
		case k.is.shape == mapping:
			l.mapping(e.value, p.parts[k.name])
		case k.is.shape == mappings:
			p.lists[k.name] = l.sequence(e.value, k, at)
		default:
			value, ok := l.decode(e.value, k.is, at)
			l.store(p, k, value, ok)
		}
	}
}

// store puts a value under its key. One that was refused leaves the default there.
func (l *loader) store(p *Part, k *key, value any, ok bool) {
	delete(p.values, k.name)
	switch {
	case !ok:
	case k.positive && value == k.is.zero:
		l.spoil(p.at(k.name), "%s", k.refuseZero())
	default:
		p.values[k.name] = value
	}
}

// sequence reads a list of sections.
func (l *loader) sequence(n *yaml.Node, k *key, path string) []*Part {
	n, ok := l.resolve(n, path)
	if !ok {
		return nil
	}
	l.places[path] = place{line: n.Line, path: path}
	if n.Kind != yaml.SequenceNode {
		l.spoil(path, "is %s; write a list, each entry beginning with \"- \"", kindOf(n))
		return nil
	}
	parts := make([]*Part, len(n.Content))
	for i, item := range n.Content {
		parts[i] = newPart(k.is.keys, index(path, i))
		l.mapping(item, parts[i])
	}
	return parts
}

// decode reads a value that is no section; false: it was refused.
func (l *loader) decode(n *yaml.Node, f *form, path string) (any, bool) {
	n, ok := l.resolve(n, path)
	if !ok {
		return nil, false
	}
	l.places[path] = place{line: n.Line, path: path}
	switch {
	case f.shape == oneOrMore && n.Kind == yaml.ScalarNode:
		l.places[index(path, 0)] = l.places[path]
		text, ok := l.scalar(n, path, "one value, or a list of them")
		return []string{text}, ok
	case f.shape == namesOrAll && n.Kind == yaml.ScalarNode && n.Value == "all":
		return listOrAll{all: true}, true
	case f.shape == namesOrAll:
		names, ok := l.list(n, path)
		return listOrAll{names: names}, ok
	case f.shape == several || f.shape == oneOrMore:
		return anyOf(l.list(n, path))
	case f.shape == dictionary:
		return anyOf(l.dictionary(n, path))
	}
	text, ok := l.scalar(n, path, "one value")
	if !ok {
		return nil, false
	}
	return l.value(f, text, l.shown(n, text), path)
}

func anyOf[T any](value T, ok bool) (any, bool) { return value, ok }

// value reads a single value, and reports what is wrong with it as shown.
func (l *loader) value(f *form, text, shown, path string) (any, bool) {
	value, err := f.parse(text)
	if err != nil {
		l.spoil(path, "%s %w", shown, err)
	}
	return value, err == nil
}

func unknownKey(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("unknown key; did you mean %s?", near)
	}
	return "unknown key; remove it, or use one of " + strings.Join(known, ", ")
}

// dictionary reads a section whose keys the user chooses.
func (l *loader) dictionary(n *yaml.Node, path string) (map[string]string, bool) {
	if n.Kind != yaml.MappingNode {
		l.spoil(path, "is %s; write name: value below it", kindOf(n))
		return nil, false
	}
	all := map[string]string{}
	for _, e := range l.entries(n, path, 0) {
		text, _ := l.decode(e.value, aText, join(path, e.key.Value))
		all[e.key.Value], _ = text.(string)
	}
	return all, true
}

// list reads a list of texts.
func (l *loader) list(n *yaml.Node, path string) ([]string, bool) {
	if n.Kind != yaml.SequenceNode {
		l.spoil(path, "is %s; write a list: [a, b]", kindOf(n))
		return nil, false
	}
	items := make([]string, 0, len(n.Content))
	for i, item := range n.Content {
		at := index(path, i)
		item, ok := l.resolve(item, at)
		if !ok {
			continue
		}
		l.places[at] = place{line: item.Line, path: at}
		text, ok := l.scalar(item, at, "one value")
		if ok && text == "" {
			l.spoil(at, "is empty; write a value or remove the entry")
		}
		items = append(items, text)
	}
	return items, true
}

// scalar is the text of a single value, with ${...} filled in.
func (l *loader) scalar(n *yaml.Node, path, want string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		l.spoil(path, "is %s; write %s", kindOf(n), want)
		return "", false
	case n.ShortTag() == "!!null":
		l.spoil(path, "has no value; write one or remove the key")
		return "", false
	}
	text, err := l.expand(n.Value)
	if err != nil {
		l.spoil(path, "%s %w", quote(n.Value), err)
		return "", false
	}
	return text, true
}

// shown is how a value appears in messages: never with what was filled in, which may be a secret.
func (l *loader) shown(n *yaml.Node, text string) string {
	if text != n.Value {
		return quote(n.Value) + " (as filled in)"
	}
	return quote(text)
}

// quote shortens and quotes a text for a message.
func quote(text string) string {
	const most = 80
	if len(text) > most {
		text = text[:most] + "…"
	}
	return fmt.Sprintf("%q", text)
}

// resolve follows aliases and counts nodes.
func (l *loader) resolve(n *yaml.Node, path string) (*yaml.Node, bool) {
	if l.nodes++; l.nodes > maxNodes {
		if l.nodes == maxNodes+1 {
			l.places[path] = place{line: n.Line, path: path}
			l.problem(path, "the file unfolds to more than a million values; use fewer aliases")
		}
		return nil, false
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias // the parser leads an alias to a node that is none itself
	}
	if n.Style&yaml.TaggedStyle != 0 {
		l.places[path] = place{line: n.Line, path: path, spoiled: true}
		l.problem(path, "has the tag %s; remove it, tags have no meaning here", n.Tag)
		return nil, false
	}
	return n, true
}

// entry is one key of a mapping and its value.
type entry struct{ key, value *yaml.Node }

// entries lists a mapping's own entries and then those it merges in (<<), of which its own and earlier ones win.
func (l *loader) entries(n *yaml.Node, path string, depth int) []entry {
	if l.nodes += len(n.Content) / 2; l.nodes > maxNodes || depth > maxMerges {
		l.problemAt(n.Line, path, "merges too much, or itself; use fewer merge keys (<<)")
		return nil
	}
	var list []entry
	var merges []*yaml.Node
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		first := seen[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			l.problemAt(key.Line, path, "has %s as a key; keys are single words", kindOf(key))
		case key.ShortTag() == "!!merge":
			merges = append(merges, value)
		case first != nil && depth == 0: // what is merged in was reported where it stands
			l.problemAt(key.Line, join(path, key.Value), "duplicate key, first on line %d; remove one of them", first.Line)
		case first == nil:
			seen[key.Value] = key
			list = append(list, entry{key, value})
		}
	}
	for _, m := range merges {
		for _, e := range l.merged(m, path, depth+1) {
			if seen[e.key.Value] == nil {
				seen[e.key.Value] = e.key
				list = append(list, e)
			}
		}
	}
	return list
}

// merged lists what the value of a merge key brings in: one mapping, or a list of them.
func (l *loader) merged(n *yaml.Node, path string, depth int) []entry {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		return l.entries(n, path, depth)
	case yaml.SequenceNode:
		var list []entry
		for _, item := range n.Content {
			if item.Kind == yaml.AliasNode {
				item = item.Alias
			}
			if item.Kind != yaml.MappingNode {
				l.problemAt(item.Line, path, "merges %s (<<); merge mappings only", kindOf(item))
				continue
			}
			list = append(list, l.entries(item, path, depth)...)
		}
		return list
	}
	l.problemAt(n.Line, path, "merges %s (<<); merge mappings only", kindOf(n))
	return nil
}

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "empty"
	}
	return "a single value"
}
