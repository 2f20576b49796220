package policy

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Bounds of what one request may name through templates. Anybody may send such a request. A request beyond the bounds
// is refused: all that it names could not be made unusable, and a wider name would let its sender invalidate more than
// it names.
const (
	// maxNames bounds the names of one template, and the members of a copy besides the tags of its response.
	maxNames = 256
	// maxNameBytes bounds the length of the names together. A request line and header are shorter; a body may be
	// longer.
	maxNameBytes = 1 << 20
	// MaxEffects bounds the members that one write may make unusable by the values of its request.
	MaxEffects = 4096
)

// ExcessError says that a request names more than one request may name.
type ExcessError struct {
	what   string // in words for the sender
	limit  int
	ofBody bool // the body's values are among those that are too many
}

// Error names the excessive values, and their limit.
func (e *ExcessError) Error() string { return fmt.Sprintf("more than %d %s", e.limit, e.what) }

// valueSet collects values in order, without duplicates, up to maxNames.
type valueSet struct {
	list []string
	seen map[string]bool // nil while there are few
	over bool
}

// few is how many values are compared one by one; more are looked up in a map.
const few = 8

// add adds a value. It reports false when the set is full.
func (s *valueSet) add(value string) bool {
	if s.seen == nil && slices.Contains(s.list, value) || s.seen[value] {
		return true
	}
	if s.over = len(s.list) == maxNames; s.over {
		return false
	}
	if s.list = append(s.list, value); len(s.list) > few {
		if s.seen == nil {
			s.seen = make(map[string]bool, 4*few)
			for _, v := range s.list {
				s.seen[v] = true
			}
		}
		s.seen[value] = true
	}
	return true
}

// addAll adds values until the set is full.
func (s *valueSet) addAll(values iter.Seq[string]) {
	for value := range values {
		if !s.add(value) {
			return
		}
	}
}

// combinations counts the names that lists of values give, each name with one value of every list. It fails where the
// names are too many or together too long, before any is made. what are the placeholders that have several values.
func combinations(lists [][]string, what []string) (count int, excess *ExcessError) {
	count = 1
	for _, values := range lists {
		if count *= len(values); count > maxNames {
			return 0, &ExcessError{what: "combinations of values of " + strings.Join(what, " and "), limit: maxNames}
		}
	}
	length := 0
	for _, values := range lists {
		for _, value := range values {
			length += count / len(values) * len(value)
		}
	}
	if length > maxNameBytes {
		return 0, &ExcessError{what: "bytes of names of copies", limit: maxNameBytes}
	}
	return count, nil
}
