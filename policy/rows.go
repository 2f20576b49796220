package policy

import "strings"

// OfRow are the members that a row of a table names, by the same templates as a write: column gives the text of the column that a
// wildcard names, and reports false for NULL. A key is named as copies without the value are; a tag, URL or prefix with a NULL in it,
// and a prefix with an empty value, are left out. In a URL or prefix a slash in a value may be part of it or separate segments, as a
// wildcard with ... has it: both are named. Routes say how URLs with a query are named; nil: as they stand. The templates have no
// other placeholders. An *ExcessError says that the row names more than one change may.
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
