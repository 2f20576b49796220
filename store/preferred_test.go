package store

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// The bound is that of the URL: copies that Vary tells apart under each of what clients prefer count together, and of all of them those go
// that nobody reads.
func TestPreferencesAndVaryHaveOneBound(t *testing.T) {
	s := New(NewMemory(64 << 20))
	put := func(key, value string) {
		c := NewCopy(200, http.Header{}, []byte("body"))
		defer c.Release()
		if value != "" {
			c.SetVary([]string{"X-Kind"})
		}
		s.Put(key, http.Header{"X-Kind": {value}}, c)
		s.Preferred("url", key, c)
	}
	reads := func(key, value string) bool {
		found := s.Lookup(key, http.Header{"X-Kind": {value}}, time.Now())
		defer found.Release()
		if found.Copy != nil {
			found.Copy.Use.Hit(time.Now())
		}
		return found.Copy != nil
	}
	put("url-plain", "")
	put("url-varies", "read")
	for i := range 100 {
		for j := range 10 {
			key, value := fmt.Sprint("url-", i), fmt.Sprint(j)
			put(key, value)
			if !reads("url-plain", "") || !reads("url-varies", "read") {
				t.Fatalf("after %d of %d: what is read has given way to what is not", j, i)
			}
			if found := s.Lookup(key, http.Header{"X-Kind": {value}}, time.Now()); found.Copy == nil {
				t.Fatalf("%d of %d: what has just come has given way", j, i)
			} else {
				found.Release()
			}
		}
	}
	copies := 0
	for e := range s.memory.table.all() {
		if !e.isOther() {
			copies++
		}
	}
	if copies != MaxVariants {
		t.Errorf("%d copies of the URL, want %d", copies, MaxVariants)
	}
}
