package policy

import (
	"slices"
	"strings"
)

// row is a row of a table, whose columns stand in the place of wildcards.
type row struct {
	column  func(name string) (value string, ok bool)
	slashes bool // a slash in a value separates segments of a path
}

// column is what a placeholder of a row names.
func (p Placeholder) column() string {
	if p.Kind == FromHost {
		return "host"
	}
	return p.Name
}

// Columns are the columns that the template names where it stands for rows, in their order. It reports false where something in it is no
// column: a value of a request.
func (t Template) Columns() (columns []string, ok bool) {
	for _, p := range t.Placeholders() {
		if p.Kind != FromWildcard && p.Kind != FromHost {
			return nil, false
		}
		if !slices.Contains(columns, p.column()) {
			columns = append(columns, p.column())
		}
	}
	return columns, true
}

// OfRow are the members that a row of a table names, by the same templates as a write: column gives the text of a column
// that a template names (Template.Columns), and reports false for NULL. A key is named as copies without the value are; a tag, URL or prefix with a NULL in it,
// and a prefix with an empty value, or one of slashes that would separate nothing, are left out. In a URL or prefix a slash in a value may be part of it or separate segments, as a
// wildcard with ... has it: both are named. Routes say how URLs with a query are named; nil: as they stand. An *ExcessError says that the row names more than one change may.
func (in *Invalidates) OfRow(routes *Table, column func(name string) (string, bool)) ([]Member, error) {
	slashes := false
	seen := func(name string) (string, bool) {
		value, ok := column(name)
		slashes = slashes || strings.Contains(value, "/")
		return value, ok
	}
	m := &Match{table: routes}
	members, _, err := in.members(Values{Match: m, row: &row{column: seen}}, nil)
	if err != nil || !slashes {
		return members, err
	}
	split, _, err := in.members(Values{Match: m, row: &row{column: column, slashes: true}}, nil)
	var s memberSet
	s.add(members...)
	s.add(split...)
	return s.list, err
}
