package main

import "testing"

func TestServerHasACoreOfItsOwn(t *testing.T) {
	for count, want := range map[int]cores{1: {}, 2: {"0", "1"}, 8: {"0", "1-7"}} {
		if got := splitCores(count); got != want {
			t.Errorf("%d cores: %+v, want %+v", count, got, want)
		}
	}
}
