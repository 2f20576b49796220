package store

import (
	"slices"
	"strings"
	"sync/atomic"
)

// maxLists is how many different lists may be in use. APIs have far fewer. A copy with a further list is not stored.
const maxLists = 1 << 12

// lists interns the lists of field names that select copies (Copy.Vary): there are few lists, and many copies. Lists are numbered from one; zero is the
// empty list. at and give are safe for concurrent use.
type lists struct {
	all atomic.Pointer[[]*list] // the slice is replaced, and never written to
}

type list struct {
	names []string
	uses  atomic.Int64
}

// at is a list that is in use.
func (l *lists) at(n uint16) []string {
	if n == 0 {
		return nil
	}
	return (*l.all.Load())[n-1].names
}

// take adds a use of a list, and returns its number. It reports false if there are too many different lists. The caller holds the table's mu.
func (l *lists) take(names []string) (n uint16, ok bool) {
	if len(names) == 0 {
		return 0, true
	}
	var all []*list
	if known := l.all.Load(); known != nil {
		all = *known
	}
	unused := -1
	for i, have := range all {
		if slices.Equal(have.names, names) {
			have.uses.Add(1)
			return uint16(i + 1), true
		}
		if have.uses.Load() == 0 {
			unused = i
		}
	}
	own := &list{names: make([]string, len(names))}
	for i, name := range names {
		own.names[i] = strings.Clone(name)
	}
	own.uses.Store(1)
	next := slices.Clone(all)
	switch {
	case unused >= 0:
		next[unused] = own
	case len(next) == maxLists:
		return 0, false
	default:
		next = append(next, own)
		unused = len(next) - 1
	}
	l.all.Store(&next)
	return uint16(unused + 1), true
}

// give ends a use of a list.
func (l *lists) give(n uint16) {
	if n != 0 {
		(*l.all.Load())[n-1].uses.Add(-1)
	}
}
