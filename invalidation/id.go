package invalidation

import (
	"slices"
	"strings"

	"cacheproxy/policy"

	"github.com/cespare/xxhash/v2"
)

// ID is a Member reduced to a word: a hash, with the kind of the member in the uppermost four bits. An entry that
// names one of two members with the same ID invalidates both, which costs a miss and never serves anything stale.
type ID uint64

const kindBits = 4

// IDOf reduces a member. The result is stable across processes and versions.
func IDOf(m policy.Member) ID { return idOf(m, xxhash.Sum64String(string(m))) }

func idOf(m policy.Member, hash uint64) ID {
	return ID(hash>>kindBits | uint64(kindIndex(m.Kind()))<<(64-kindBits))
}

// IDsOf reduces members; the result is sorted and without duplicates. Members that each begin with the one before, as
// the prefixes of a path do, are hashed in one pass. Hashing each from its beginning would take quadratic time for a
// path that a stranger makes up.
func IDsOf(members []policy.Member) []ID {
	ids := make([]ID, len(members))
	var h continuedHash
	for i, m := range members {
		if len(m) < continuedFrom {
			ids[i] = IDOf(m)
		} else {
			ids[i] = idOf(m, h.of(string(m)))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// continuedFrom is the length of a member, in bytes, from which on continuing a hash costs less than hashing from the
// beginning.
const continuedFrom = 64

// continuedHash hashes texts. Where a text begins with the text hashed before, only the rest is hashed. The zero value
// has hashed nothing.
type continuedHash struct {
	digest xxhash.Digest
	hashed string // text that digest has hashed since its reset
	bytes  int    // how many bytes were hashed, in all
}

func (h *continuedHash) of(text string) uint64 {
	if h.hashed == "" || !strings.HasPrefix(text, h.hashed) {
		h.digest.Reset()
		h.hashed = ""
	}
	rest := text[len(h.hashed):]
	_, _ = h.digest.WriteString(rest) // never fails
	h.bytes += len(rest)
	h.hashed = text
	return h.digest.Sum64()
}

// Without returns the elements of ids that are not in other. other must be sorted.
func Without(ids, other []ID) []ID {
	return slices.DeleteFunc(slices.Clone(ids), func(id ID) bool {
		_, found := slices.BinarySearch(other, id)
		return found
	})
}

func (id ID) kind() int { return int(id >> (64 - kindBits)) }

// known reports whether copies of this version can have members of this kind.
func (id ID) known() bool { return id.kind() >= 1 && id.kind() <= lastKind }

// Foreknown reports whether a copy's member of this kind is known before the copy's answer is there. Tags and groups
// are not: answers name them.
func (id ID) Foreknown() bool {
	k := id.kind()
	return id.known() && k != kindIndex(policy.KindTag) && k != kindIndex(policy.KindGroup)
}

// OfMany reports whether many copies share a member of this kind by their location: everything, a route, or a prefix.
func (id ID) OfMany() bool {
	switch id.kind() {
	case kindIndex(policy.KindAll), kindIndex(policy.KindRoute), kindIndex(policy.KindPrefix):
		return true
	}
	return false
}

// lastKind is the highest number that kindIndex returns.
const lastKind = 8

// kindIndex numbers the kinds. All kinds that this version does not know share the number 0.
func kindIndex(k policy.MemberKind) int {
	switch k {
	case policy.KindAll:
		return 1
	case policy.KindRoute:
		return 2
	case policy.KindKey:
		return 3
	case policy.KindTag:
		return 4
	case policy.KindGroup:
		return 5
	case policy.KindURL:
		return 6
	case policy.KindPath:
		return 7
	case policy.KindPrefix:
		return 8
	default:
		return 0
	}
}
