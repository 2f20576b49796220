package store

import (
	"slices"
)

// Item is what is stored under a key: a *Copy or *Variants under a storage key, and *Parts, *Mark and others under keys of their own.
type Item interface {
	// cost is the memory that the item takes in Go's memory besides its key, in bytes.
	cost() int
}

// MaxVariants is how many copies of one URL memory keeps, by Vary and by what clients prefer together. Beyond it, the one that was not read for the
// longest time is dropped.
const MaxVariants = 64

// maxSelections is how many different Vary fields of one URL are remembered.
const maxSelections = 4

// Variants says that copies of a URL are stored under keys of their own, by the request header fields that Vary
// names (RFC 9111 §4.1). It is immutable: a change makes a new one.
type Variants struct {
	// Selections are the distinct lists of field names seen in Vary, the latest first.
	Selections [][]string
	// Keys are the storage keys of the copies, in the order in which they came.
	Keys []string
}

// with returns v with the key of another copy, and the keys that have to go because there are more than MaxVariants: least if v has it, else the oldest.
// v may be nil.
func (v *Variants) with(names []string, key, least string) (next *Variants, displaced []string) {
	if v == nil {
		// One allocation, since most lists stay as they begin.
		first := &struct {
			Variants
			selections [1][]string
			keys       [1]string
		}{selections: [1][]string{names}, keys: [1]string{key}}
		first.Selections, first.Keys = first.selections[:], first.keys[:]
		return &first.Variants, nil
	}
	next = &Variants{Selections: [][]string{names}}
	for _, s := range v.Selections {
		if !slices.Equal(s, names) && len(next.Selections) < maxSelections {
			next.Selections = append(next.Selections, s)
		}
	}
	next.Keys = append(make([]string, 0, len(v.Keys)+1), v.Keys...)
	if !slices.Contains(next.Keys, key) {
		next.Keys = append(next.Keys, key)
	}
	for len(next.Keys) > MaxVariants {
		out := max(0, slices.Index(next.Keys, least))
		displaced = append(displaced, next.Keys[out])
		next.Keys = slices.Delete(next.Keys, out, out+1)
	}
	return next, displaced
}

// join returns v with what another instance knows of the variants of the same URL. If there is not room for all, those of v stay; the keys of v count as
// the later ones.
func (v *Variants) join(other *Variants) *Variants {
	next := &Variants{Selections: slices.Clip(v.Selections)}
	for _, s := range other.Selections {
		known := slices.ContainsFunc(next.Selections, func(have []string) bool { return slices.Equal(have, s) })
		if !known && len(next.Selections) < maxSelections {
			next.Selections = append(next.Selections, s)
		}
	}
	for _, k := range other.Keys {
		if !slices.Contains(v.Keys, k) {
			next.Keys = append(next.Keys, k)
		}
	}
	if len(next.Keys) == 0 && len(next.Selections) == len(v.Selections) {
		return v
	}
	next.Keys = append(next.Keys, v.Keys...)
	next.Keys = next.Keys[max(0, len(next.Keys)-MaxVariants):]
	return next
}

// Names is every field name that any selection names, sorted.
func (v *Variants) Names() []string {
	if len(v.Selections) == 1 {
		return v.Selections[0]
	}
	var all []string
	for _, s := range v.Selections {
		all = append(all, s...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (v *Variants) cost() int {
	n := 80 + 24*cap(v.Selections)
	for _, s := range v.Selections {
		for _, name := range s {
			n += 16 + len(name)
		}
	}
	for _, k := range v.Keys {
		n += 16 + len(k)
	}
	return n
}
