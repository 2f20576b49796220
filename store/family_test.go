package store

import (
	"fmt"
	"slices"
	"testing"

	"cacheproxy/invalidation"
)

// names are those that many copies have, before those that are of one copy.
func names(common ...invalidation.ID) []invalidation.ID {
	const route, prefix, tag = 2 << 60, 8 << 60, 4 << 60
	all := []invalidation.ID{route, tag + 7}
	for _, id := range common {
		all = append(all, prefix+id)
	}
	return all
}

// A folder has a family from its second copy on, and a copy is of one whose names it has all.
func TestFamilies(t *testing.T) {
	var f families
	take := func(key string, ids []invalidation.ID) uint16 {
		t.Helper()
		n, own, shares := f.take(key, ids)
		all := slices.Clone(own)
		if of := f.at(n); of != nil {
			if shares {
				all = append(all, of.names...)
			}
			if key[:len(of.prefix)] != of.prefix {
				t.Errorf("%q is of a family of %q", key, of.prefix)
			}
		}
		if slices.Sort(all); !slices.Equal(all, ids) {
			t.Errorf("%q has %v, want %v", key, all, ids)
		}
		return n
	}
	const host = "12345678api.example.org"
	first := take(host+"/a/b/1", names(1, 2, 3, 101))
	second := take(host+"/a/b/2", names(1, 2, 3, 102))
	third := take(host+"/a/b/3", names(1, 2, 3, 103))
	if fourth := take(host+"/a/b/4", names(1, 2, 3, 104)); first == second || third != fourth || f.at(fourth).prefix != host+"/a/b/" || len(f.at(fourth).names) != 4 {
		t.Errorf("%d, %d, %d, %d: %+v", first, second, third, fourth, f.at(fourth))
	}
	if other := take(host+"/c/1", names(1, 5, 105)); f.at(other).prefix != host+"/" || len(f.at(other).names) != 2 {
		t.Errorf("what is alone in its folder is of %+v", f.at(other))
	}
	many := make([]invalidation.ID, mostShared+1)
	for i := range many {
		many[i] = invalidation.ID(i)
	}
	if n, own, shares := f.take(host+"/a/b/5", many); n != third || shares || len(own) != len(many) {
		t.Errorf("a copy of many names is of %d, with %d of its own", n, len(own))
	}
	if fifth := take(host+"/a/b/6", names(1, 2, 3, 106)); fifth != third {
		t.Errorf("after a copy of many names, others are of %d, want %d", fifth, third)
	}
	if n := take("short", names()); f.at(n) != nil && f.at(n).prefix != "" {
		t.Errorf("a short key is of %+v", f.at(n))
	}
}

// There are only so many families. Who comes too late has all of its own, and who leaves makes room.
func TestFamiliesAreBounded(t *testing.T) {
	var f families
	var all []uint16
	for i := range 2 * maxFamilies {
		n, own, _ := f.take(fmt.Sprintf("%08d/x", i), names(1))
		if n == 0 != (len(own) == 3) {
			t.Fatalf("family %d leaves %v", n, own)
		}
		all = append(all, n)
	}
	if last := all[len(all)-1]; last != 0 || all[maxFamilies-2] == 0 || f.made != maxFamilies-1 {
		t.Errorf("%d families were made, the last one is %d", f.made, last)
	}
	for _, n := range all {
		f.give(n)
	}
	if n, _, _ := f.take("another /x", names(1)); n == 0 {
		t.Error("there is no room when all have left")
	}
	if n, _, _ := f.take(fmt.Sprintf("%08d/x", 5), names(1)); n == 0 || f.at(n).prefix != "00000005/" {
		t.Errorf("%+v", f.at(n))
	}
}
