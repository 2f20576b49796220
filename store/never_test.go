package store

import (
	"testing"

	"cacheproxy/policy/httpcache"
)

// Nothing is looked for that was never put, and everything that was.
func TestWhatWasNeverPut(t *testing.T) {
	s := New(NewMemory(1 << 20))
	if s.Aliased() || s.Marks() {
		t.Error("an empty store has something")
	}
	s.PutAlias("/a", "key", "q=1", httpcache.SearchVariance{})
	s.Mark("question", &Mark{})
	if !s.Aliased() || !s.Marks() {
		t.Errorf("aliased: %v, marks: %v", s.Aliased(), s.Marks())
	}
}
