package policy

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Limits of what one request may name through templates. Anybody can send such a request. Beyond the limits it is refused: its names are too many to be
// invalidated one by one, and a wider invalidation would be more than its sender may decide.
const (
	// maxNames is how many names one template may give, and a copy may have besides the tags of its response.
	maxNames = 256
	// maxNameBytes is how long they may be together. A request line and header are shorter; a body may be longer.
	maxNameBytes = 1 << 20
	// MaxEffects is how many members one write may make unusable, by what the request says.
	MaxEffects = 4096
)

// ExcessError says that a request names more than one request may.
type ExcessError struct {
	what   string // in words for the one who sent it
	limit  int
	ofBody bool // of values that the body has, among others perhaps
}

// Error says what there is too much of, and how much there may be.
func (e *ExcessError) Error() string { return fmt.Sprintf("more than %d %s", e.limit, e.what) }

// valueSet collects values, each once, in their order, as long as there are not too many.
type valueSet struct {
	list []string
	seen map[string]bool // nil while there are few
	over bool
}

// few is up to how many values are compared one by one.
const few = 8

// add takes a value in. It reports false when no more are wanted.
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

// addAll takes values in, until there are too many.
func (s *valueSet) addAll(values iter.Seq[string]) {
	for value := range values {
		if !s.add(value) {
			return
		}
	}
}

// combinations is how many names lists of values give together, each with one value of every list, and how long those are,
// without making any. It fails where that is too much; what is of the placeholders that have several values.
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
