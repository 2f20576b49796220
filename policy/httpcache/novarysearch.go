package httpcache

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"
)

// NoVarySearch is the field of a SearchVariance.
const NoVarySearch = "No-Vary-Search"

// SearchVariance says by which part of the query the answers of one path differ (No-Vary-Search,
// draft-ietf-httpbis-no-vary-search). The zero value: by every byte.
type SearchVariance struct {
	AnyOrder bool     // parameters of different names may change places
	Others   bool     // Names are the parameters that matter; otherwise all others matter
	Names    []string // sorted; unescaped
}

// Varies reports whether every byte of the query matters, as without the field or where it is malformed.
func (v SearchVariance) Varies() bool { return !v.AnyOrder && !v.Others && len(v.Names) == 0 }

// ParseSearchVariance reads the lines of No-Vary-Search. A malformed field has no effect: the answer is then used for
// its own URL only.
func ParseSearchVariance(lines []string) (v SearchVariance) {
	if len(lines) == 0 {
		return v
	}
	d, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return SearchVariance{}
	}
	if order, ok := d.Get("key-order"); ok {
		if v.AnyOrder, ok = flag(order); !ok {
			return SearchVariance{}
		}
	}
	params, hasParams := d.Get("params")
	except, hasExcept := d.Get("except")
	all, isFlag := flag(params)
	switch {
	case hasExcept && !(hasParams && isFlag && all):
		return SearchVariance{}
	case hasExcept:
		names, ok := parameterNames(except)
		if !ok {
			return SearchVariance{}
		}
		v.Others, v.Names = true, names
	case hasParams && isFlag:
		v.Others = all
	case hasParams:
		names, ok := parameterNames(params)
		if !ok {
			return SearchVariance{}
		}
		v.Names = names
	}
	return v
}

// flag is the boolean value of a member of a dictionary.
func flag(m httpsfv.Member) (value, ok bool) {
	item, ok := m.(httpsfv.Item)
	if !ok {
		return false, false
	}
	value, ok = item.Value.(bool)
	return value, ok
}

// parameterNames are the strings of an inner list, unescaped as in a query.
func parameterNames(m httpsfv.Member) (names []string, ok bool) {
	list, ok := m.(httpsfv.InnerList)
	if !ok {
		return nil, false
	}
	for _, item := range list.Items {
		name, ok := item.Value.(string)
		if !ok {
			return nil, false
		}
		names = append(names, unescapeForm(name))
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

// Equal reports whether v and o make the same queries alike.
func (v SearchVariance) Equal(o SearchVariance) bool {
	return v.AnyOrder == o.AnyOrder && v.Others == o.Others && slices.Equal(v.Names, o.Names)
}

// AppendQuery appends the significant part of a query. The result is equal for two queries exactly if an answer for one
// may be used for the other. The encoding is injective, and is not a query.
func (v SearchVariance) AppendQuery(dst []byte, query string) []byte {
	var kept [][2]string
	for piece := range strings.SplitSeq(query, "&") {
		if piece == "" {
			continue
		}
		name, value, _ := strings.Cut(piece, "=")
		name = unescapeForm(name)
		if _, named := slices.BinarySearch(v.Names, name); named == v.Others {
			kept = append(kept, [2]string{name, unescapeForm(value)})
		}
	}
	if v.AnyOrder {
		slices.SortStableFunc(kept, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	}
	dst = binary.AppendUvarint(dst, uint64(len(kept)))
	for _, p := range kept {
		dst = AppendField(AppendField(dst, p[0]), p[1])
	}
	return dst
}

// AppendRule appends the variance itself, so that keys of different variances differ.
func (v SearchVariance) AppendRule(dst []byte) []byte {
	dst = AppendFlag(AppendFlag(dst, v.AnyOrder), v.Others)
	dst = binary.AppendUvarint(dst, uint64(len(v.Names)))
	for _, name := range v.Names {
		dst = AppendField(dst, name)
	}
	return dst
}
