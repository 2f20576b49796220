package policy

import (
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// node is a place in the tree of patterns; its depth is the number of segments before it. A request visits every node
// at most once, so that the cost of a match is bounded by the size of the tree, for any path.
type node struct {
	leaf     []*leaf       // patterns that end here
	dollar   []*leaf       // patterns that need a final slash
	rest     []*leaf       // patterns that need a slash and match any rest
	single   *node         // after any one segment
	literals []literalNode // after one certain segment; sorted
}

type literalNode struct {
	text string // unescaped
	node *node
}

func (n *node) add(segments []segment, l *leaf) {
	if len(segments) == 0 {
		n.leaf = ordered(n.leaf, l)
		return
	}
	s := segments[0]
	switch s.kind {
	case segRest:
		n.rest = ordered(n.rest, l)
	case segDollar:
		n.dollar = ordered(n.dollar, l)
	case segSingle:
		if n.single == nil {
			n.single = &node{}
		}
		n.single.add(segments[1:], l)
	case segLiteral:
		n.literal(s.text).add(segments[1:], l)
	}
}

// ordered adds a leaf to those of the same pattern. The leaves keep their order, except that the leaf without
// conditions is last.
func ordered(leaves []*leaf, l *leaf) []*leaf {
	if last := len(leaves) - 1; last >= 0 && !leaves[last].conditional() {
		return slices.Insert(leaves, last, l)
	}
	return append(leaves, l)
}

// literal is the child for a segment; it is made where the node has none.
func (n *node) literal(text string) *node {
	i, found := slices.BinarySearchFunc(n.literals, text, func(c literalNode, text string) int {
		return strings.Compare(c.text, text)
	})
	if !found {
		n.literals = slices.Insert(n.literals, i, literalNode{text, &node{}})
	}
	return n.literals[i].node
}

// match finds the most specific pattern for the rest of a clean path: it tries a literal before a wildcard, and a
// wildcard before the rest. From a branch without a match it returns to the next one.
func (n *node) match(path string, m *Match, a *asking) bool {
	switch {
	case n == nil:
		return false
	case path == "":
		return m.take(n.leaf, a)
	case path == "/":
		return m.take(n.dollar, a) || n.takeRest(path, m, a)
	}
	end := strings.IndexByte(path[1:], '/') + 1
	if end == 0 {
		end = len(path)
	}
	if n.find(path[1:end]).match(path[end:], m, a) {
		return true
	}
	if n.single != nil {
		m.push(path[1:end])
		if n.single.match(path[end:], m, a) {
			return true
		}
		m.pop()
	}
	return n.takeRest(path, m, a)
}

func (n *node) takeRest(path string, m *Match, a *asking) bool {
	if len(n.rest) == 0 {
		return false
	}
	if !slices.ContainsFunc(n.rest, func(l *leaf) bool { return l.pattern.last().named() }) {
		return m.take(n.rest, a)
	}
	m.push(path[1:])
	if m.take(n.rest, a) {
		return true
	}
	m.pop()
	return false
}

// find is the child for a raw segment, or nil.
func (n *node) find(raw string) *node {
	escaped := strings.IndexByte(raw, '%') >= 0
	low, high := 0, len(n.literals)
	for low < high {
		middle := int(uint(low+high) / 2)
		c := 0
		if escaped {
			c = httpcache.CompareEscaped(raw, n.literals[middle].text)
		} else {
			c = strings.Compare(raw, n.literals[middle].text)
		}
		switch {
		case c == 0:
			return n.literals[middle].node
		case c < 0:
			high = middle
		default:
			low = middle + 1
		}
	}
	return nil
}
