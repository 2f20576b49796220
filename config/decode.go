package config

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	maxNodes  = 1 << 20 // bound on visited nodes; a small file with aliases in aliases can have billions
	maxMerges = 32      // bound on merge keys in merge keys; an anchor that merges itself has no end
)

// decoder reads YAML nodes into parts, and fills in the variables and files that values name.
type decoder struct {
	*report
	*files
	nodes int // visited nodes
}

// mapping reads n into the part.
func (d *decoder) mapping(n *yaml.Node, p *part) {
	n, ok := d.resolve(n, p.path)
	if !ok {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.spoil(p.path, "is %s; write keys below it: %s", kindOf(n), strings.Join(p.keys.names(), ", "))
		return
	}
	for _, e := range d.entries(n, p.path, 0) {
		k, known := p.keys.row(e.key.Value)
		at := join(p.path, e.key.Value)
		switch {
		case !known:
			d.places[at] = place{line: e.key.Line, path: at}
			if near := nearest(e.key.Value, p.keys.names()); near != "" {
				d.spoil(at, "unknown key; did you mean %s?", near)
			} else {
				d.spoil(at, "unknown key; remove it, or use one of %s", strings.Join(p.keys.names(), ", "))
			}
		case k.is.shape == mapping:
			d.section(e.value, k.is.orFlag, p.parts[k.name])
		case k.is.shape == mappings:
			p.lists[k.name] = d.sequence(e.value, k, at)
		default:
			value, ok := d.decode(e.value, k.is, at)
			d.store(p, k, value, ok)
		}
	}
}

// section reads a section. Where flag is set, the word none may stand in place of the section and sets that flag.
func (d *decoder) section(n *yaml.Node, flag string, p *part) {
	if flag == "" || !d.comesTo(n, noneWord) {
		d.mapping(n, p)
		return
	}
	if _, ok := d.resolve(n, p.path); ok {
		d.places[p.at(flag)] = d.places[p.path]
		p.values[flag] = true
	}
}

// store puts a value under its key. A refused value leaves the default in force.
func (d *decoder) store(p *part, k *key, value any, ok bool) {
	delete(p.values, k.name)
	switch {
	case !ok:
	case k.positive && value == k.is.zero:
		d.spoil(p.at(k.name), "%s", k.refuseZero())
	default:
		p.values[k.name] = value
	}
}

// sequence reads a list of sections.
func (d *decoder) sequence(n *yaml.Node, k *key, path string) []*part {
	n, ok := d.resolve(n, path)
	if !ok {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		d.spoil(path, "is %s; write a list, each entry beginning with \"- \"", kindOf(n))
		return nil
	}
	parts := make([]*part, len(n.Content))
	for i, item := range n.Content {
		parts[i] = newPart(k.is.keys, index(path, i), d.report)
		d.mapping(item, parts[i])
	}
	return parts
}

// decode reads any value but a section. The result is false where the value was refused.
func (d *decoder) decode(n *yaml.Node, f *form, path string) (any, bool) {
	n, ok := d.resolve(n, path)
	if !ok {
		return nil, false
	}
	switch {
	case f.shape == oneOrMore && n.Kind == yaml.ScalarNode:
		d.places[index(path, 0)] = d.places[path]
		text, ok := d.scalar(n, path)
		return []string{text}, ok
	case f.shape == namesOrAll && d.comesTo(n, "all"):
		return listOrAll{all: true}, true
	case f.shape == namesOrAll:
		names, ok := d.list(n, path)
		return listOrAll{names: names}, ok
	case f.shape == several || f.shape == oneOrMore:
		return anyOf(d.list(n, path))
	case f.shape == dictionary && f.orWord != "" && d.comesTo(n, f.orWord):
		return map[string]string{f.orWord: ""}, true
	case f.shape == dictionary && f.each != nil:
		return anyOf(dictionaryOf[[]string](d, n, path, f.each))
	case f.shape == dictionary:
		return anyOf(dictionaryOf[string](d, n, path, aText))
	}
	text, ok := d.scalar(n, path)
	if !ok {
		return nil, false
	}
	return d.value(f, text, shown(n, text), path)
}

func anyOf[T any](value T, ok bool) (any, bool) { return value, ok }

// value parses a single value. A problem names the value as shown.
func (d *decoder) value(f *form, text, shown, path string) (any, bool) {
	value, err := f.parse(text)
	if err != nil {
		d.spoil(path, "%s %w", shown, err)
	}
	return value, err == nil
}

// dictionaryOf reads a mapping whose keys the user chooses, with one value of the given form under each key.
func dictionaryOf[T any](d *decoder, n *yaml.Node, path string, each *form) (map[string]T, bool) {
	if n.Kind != yaml.MappingNode {
		d.spoil(path, "is %s; write name: value below it", kindOf(n))
		return nil, false
	}
	all := map[string]T{}
	for _, e := range d.entries(n, path, 0) {
		value, _ := d.decode(e.value, each, join(path, e.key.Value))
		all[e.key.Value], _ = value.(T)
	}
	return all, true
}

// list reads a list of texts. A refused text stays in the list as an empty one, and its place is spoiled: rules look up
// refusals by the position in the list.
func (d *decoder) list(n *yaml.Node, path string) ([]string, bool) {
	if n.Kind != yaml.SequenceNode {
		d.spoil(path, "is %s; write a list: [a, b]", kindOf(n))
		return nil, false
	}
	items := make([]string, 0, len(n.Content))
	for i, item := range n.Content {
		at := index(path, i)
		item, ok := d.resolve(item, at)
		text := ""
		if ok {
			if text, ok = d.scalar(item, at); ok && text == "" {
				d.spoil(at, "is empty; write a value or remove the entry")
			}
		}
		if d.nodes > maxNodes {
			break // the file unfolds to too much, which was said
		}
		items = append(items, text)
	}
	return items, true
}

// scalar is the text of a single value, with ${...} filled in.
func (d *decoder) scalar(n *yaml.Node, path string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.spoil(path, "is %s; write one value", kindOf(n))
		return "", false
	case n.ShortTag() == "!!null":
		d.spoil(path, "has no value; write one or remove the key")
		return "", false
	}
	text, err := d.expand(n.Value)
	if err != nil {
		d.spoil(path, "%s %w", quote(n.Value), err)
		return "", false
	}
	if strings.Contains(text, standsIn) {
		d.warn(path, "%s is not there, and was not checked", quote(n.Value))
	}
	return text, true
}

// comesTo reports whether a node is a single value that equals the word after ${...} is filled in.
func (d *decoder) comesTo(n *yaml.Node, word string) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	text, err := d.expand(n.Value)
	return err == nil && text == word
}

// shown is a value as messages show it: never with the filled-in text, which may be a secret.
func shown(n *yaml.Node, text string) string {
	if text != n.Value {
		return quote(n.Value) + " (as filled in)"
	}
	return quote(text)
}

// resolve follows an alias, counts the node, and records the line of the value at path. The result is false where the
// value must not be read.
func (d *decoder) resolve(n *yaml.Node, path string) (*yaml.Node, bool) {
	if d.nodes++; d.nodes > maxNodes+1 {
		return nil, false
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias // the parser points an alias at a node that is no alias
	}
	d.places[path] = place{line: n.Line, path: path}
	switch {
	case d.nodes > maxNodes:
		d.problem(path, "the file unfolds to more than a million values; use fewer aliases")
	case n.Style&yaml.TaggedStyle != 0:
		d.spoil(path, "has the tag %s; remove it, tags have no meaning here", n.Tag)
	default:
		return n, true
	}
	return nil, false
}

// entry is one key of a mapping and its value.
type entry struct{ key, value *yaml.Node }

// entries lists a mapping's own entries and then its merged ones (<<). An own entry wins over a merged one, and an
// earlier merged entry over a later one.
func (d *decoder) entries(n *yaml.Node, path string, depth int) []entry {
	if d.nodes += len(n.Content) / 2; d.nodes > maxNodes || depth > maxMerges {
		d.problemAt(n.Line, path, "merges too much, or itself; use fewer merge keys (<<)")
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
			d.problemAt(key.Line, path, "has %s as a key; keys are single words", kindOf(key))
		case key.ShortTag() == "!!merge":
			merges = append(merges, value)
		case first != nil && depth == 0: // a duplicate in a merged mapping is reported where that mapping is written
			d.problemAt(key.Line, join(path, key.Value), "duplicate key, first on line %d; remove one of them", first.Line)
		case first == nil:
			seen[key.Value] = key
			list = append(list, entry{key, value})
		}
	}
	for _, m := range merges {
		for _, e := range d.merged(m, path, depth+1, false) {
			if seen[e.key.Value] == nil {
				seen[e.key.Value] = e.key
				list = append(list, e)
			}
		}
	}
	return list
}

// merged lists the entries that the value of a merge key brings in. The value is one mapping or a list of mappings.
func (d *decoder) merged(n *yaml.Node, path string, depth int, listed bool) (list []entry) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.MappingNode:
		return d.entries(n, path, depth)
	case n.Kind == yaml.SequenceNode && !listed:
		for _, item := range n.Content {
			list = append(list, d.merged(item, path, depth, true)...)
		}
	default:
		d.problemAt(n.Line, path, "merges %s (<<); merge mappings only", kindOf(n))
	}
	return list
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
