package instance

import (
	"testing"
	"time"
)

// An upstream is unprotected where more than three times of what it gets is read, and nobody has named a limit. It is looked at over some
// minutes, and told of once.
func TestUnprotected(t *testing.T) {
	for _, c := range []struct {
		name         string
		reads, asked uint64 // a second
		limited      bool
		unprotected  bool
	}{
		{"ten times", 1000, 100, false, true},
		{"a limit", 1000, 100, true, false},
		{"three times", 300, 100, false, false},
		{"a little more", 301, 100, false, true},
		{"nothing reaches it", 2, 0, false, true},
		{"hardly anything is read", 0, 0, false, false},
	} {
		l, told, now := &load{}, 0, time.Unix(1e9, 0)
		var reads, asked uint64
		run := func(d time.Duration, r, a uint64, limited bool) {
			for range d / loadEvery {
				now = now.Add(loadEvery)
				reads, asked = reads+r*uint64(loadEvery/time.Second), asked+a*uint64(loadEvery/time.Second)
				if became, _, _ := l.look(loadSample{now, reads, asked}, limited); became {
					told++
				}
			}
		}
		run(10*time.Minute, c.reads, c.asked, c.limited)
		want := 0
		if c.unprotected {
			want = 1
		}
		if l.unprotected.Load() != c.unprotected || told != want {
			t.Errorf("%s: %v, told %d times", c.name, l.unprotected.Load(), told)
		}
		if most := int(loadWindow/loadEvery) + 1; len(l.samples) > most {
			t.Errorf("%d samples are kept, want %d", len(l.samples), most)
		}
		run(2*time.Minute, c.reads, c.asked, true)
		if l.unprotected.Load() {
			t.Errorf("%s: with a limit that was named since", c.name)
		}
		run(20*time.Minute, 10, 10, false)
		if l.unprotected.Load() {
			t.Errorf("%s: long after", c.name)
		}
	}
}
