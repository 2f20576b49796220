package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// problem is one fault of a configuration or, as a warning, a setting less safe than possible.
type problem struct {
	File   string // as given to Load; empty where Source is set
	Line   int    // from 1; 0 where Source is set
	Source string // "environment CACHEPROXY_LISTEN" or "flag --listen", for a value that did not come from the file
	Path   string // such as routes[2].ttl; may be empty
	Text   string // the fault, and what to write instead
}

// String is file:line: path: text, or the source instead of file, line and path.
func (p problem) String() string {
	switch {
	case p.Source != "":
		return p.Source + ": " + p.Text
	case p.Path == "":
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Path, p.Text)
}

// Problems are all faults of a configuration, in the order of their lines.
type Problems []problem

// Error has one problem on each line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// sorted orders problems by line, with those from a source first, and drops repetitions.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Source, b.Source))
	})
	return slices.Compact(p)
}
