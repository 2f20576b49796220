package invalidation

import (
	"slices"
	"strings"

	"cacheproxy/policy"

	"github.com/cespare/xxhash/v2"
)

// ID is a Member reduced to a word: a hash, with the member's kind in the uppermost four bits. Two members with the same ID
// are invalidated together, which costs a miss and never serves anything stale.
type ID uint64

const kindBits = 4

// IDOf reduces a member. It is stable across processes and versions.
func IDOf(m policy.Member) ID { return idOf(m, xxhash.Sum64String(string(m))) }

func idOf(m policy.Member, hash uint64) ID {
	return ID(hash>>kindBits | uint64(kindIndex(m.Kind()))<<(64-kindBits))
}

// IDsOf reduces members, sorted and without duplicates. Members that each begin with the one before, as the prefixes of a path do, are
// hashed in one go: hashing each from its beginning would take the square of the time for a path that a stranger makes up.
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

// continuedFrom is the length of a member, in bytes, from which on it is worth while to keep what was hashed.
const continuedFrom = 64

// continuedHash hashes texts of which some begin with the one before. The zero value has hashed nothing.
type continuedHash struct {
	digest xxhash.Digest
	hashed string // what digest has taken in
	bytes  int    // that were hashed, in all
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

// Without is what of ids is not in other, which is sorted.
func Without(ids, other []ID) []ID {
	return slices.DeleteFunc(slices.Clone(ids), func(id ID) bool {
		_, found := slices.BinarySearch(other, id)
		return found
	})
}

func (id ID) kind() int { return int(id >> (64 - kindBits)) }

// known reports whether the kind is one that copies of this version can have.
func (id ID) known() bool { return id.kind() >= 1 && id.kind() <= lastKind }

// Foreknown reports whether a copy with this member is known to have it before its answer is there: tags and groups are named by answers.
func (id ID) Foreknown() bool {
	k := id.kind()
	return id.known() && k != kindIndex(policy.KindTag) && k != kindIndex(policy.KindGroup)
}

// OfMany reports whether the member is of a kind that copies have with others by where they are: everything, a route, or a prefix.
func (id ID) OfMany() bool {
	switch id.kind() {
	case kindIndex(policy.KindAll), kindIndex(policy.KindRoute), kindIndex(policy.KindPrefix):
		return true
	}
	return false
}

// lastKind is the highest number that kindIndex gives.
const lastKind = 8

// kindIndex numbers the kinds. Kinds this version does not know share a number of their own.
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
