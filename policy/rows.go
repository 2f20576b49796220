package policy

import (
	"slices"
	"strings"
)

// row is a row of a table, whose columns take the place of wildcards.
type row struct {
	column  func(name string) (value string, ok bool)
	slashes bool // a slash in a value separates segments of a path
}

// column is the column of a placeholder in a template for rows.
func (p Placeholder) column() string {
	if p.Kind == FromHost {
		return "host"
	}
	return p.Name
}

// Columns are the columns of a template for rows, in order. ok is false where the template has a placeholder for
// another value of a request.
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

// OfRow are the members of a row of a table, by the same templates as for a write. column returns the text of a column
// of the templates (Template.Columns), and reports false for NULL. A key is named like the copies without the value. A
// tag, URL or prefix with a NULL is left out, and so is a prefix with an empty value. Where slashes separate segments,
// a value that has only slashes counts as empty. In a URL or prefix a slash in a value may be part of the value, or
// separate segments like a wildcard with "..."; OfRow names both. routes say how URLs with a query are named; nil: with
// the exact query. An *ExcessError says that the row names more than one change may.
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
