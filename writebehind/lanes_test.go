package writebehind

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func next(t *testing.T, l *lanes, now time.Time, want string) Ref {
	t.Helper()
	r, ok, _ := l.next(now)
	if got := r.ID; !ok && want != "" || got != want {
		t.Fatalf("next is %q, want %q", got, want)
	}
	return r
}

func TestLanes(t *testing.T) {
	now := time.Now()
	l := newLanes()
	a1, a2, b1 := Ref{"1", "a1", "a"}, Ref{"2", "a2", "a"}, Ref{"3", "b1", "b"}
	for _, r := range []Ref{a1, a2, b1, a1} {
		l.add(r)
	}
	next(t, l, now, "a1")
	next(t, l, now, "b1")
	next(t, l, now, "") // a2 waits for a1
	l.again(a1, now.Add(time.Second))
	if _, ok, wake := l.next(now); ok || !wake.Equal(now.Add(time.Second)) {
		t.Errorf("a write that is to wait begins, or is looked for at %v", wake)
	}
	now = now.Add(time.Second)
	next(t, l, now, "a1")
	l.block(a1)
	next(t, l, now, "")
	l.decide(a1, true)
	next(t, l, now, "a1")
	l.done(a1)
	next(t, l, now, "a2")
	l.block(a2)
	l.decide(a2, false)
	next(t, l, now, "")
	l.add(Ref{"9", "a3", "a"})
	next(t, l, now, "a3")
}

// A write that waits is dropped wherever it is in its lane, and whatever the first of the lane is about.
func TestLanesDropWaiting(t *testing.T) {
	now := time.Now()
	l := newLanes()
	a1, a2, a3 := Ref{"1", "a1", "a"}, Ref{"2", "a2", "a"}, Ref{"3", "a3", "a"}
	for _, r := range []Ref{a1, a2, a3} {
		l.add(r)
	}
	next(t, l, now, "a1")
	l.decide(a2, false)
	next(t, l, now, "") // a1 is under way yet
	l.block(a1)
	l.decide(a2, false) // once more
	next(t, l, now, "") // a1 blocks yet
	l.decide(a1, true)
	next(t, l, now, "a1")
	l.again(a1, now.Add(time.Hour))
	l.decide(a1, false)
	next(t, l, now, "a3")
	l.again(a3, now.Add(time.Hour))
	l.decide(a3, false)
	if len(l.byKey) != 0 || len(l.ready) != 0 {
		t.Errorf("left are %v, %v", l.byKey, l.ready)
	}
}

// A decision that comes while the write is still being looked at is not lost.
func TestLanesDecidedMeanwhile(t *testing.T) {
	now := time.Now()
	l := newLanes()
	a1 := Ref{"1", "a1", "a"}
	l.add(a1)
	next(t, l, now, "a1")
	l.decide(a1, true)
	l.block(a1)
	next(t, l, now, "a1")
	l.block(a1)
	next(t, l, now, "")
}

// Whatever comes in whatever order: of each key one is under way at a time, in the order in which they came.
func TestLanesKeepOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	l := newLanes()
	added, done, busy := map[string]int{}, map[string]int{}, map[string]Ref{}
	for range 20000 {
		key := fmt.Sprint("k", random.IntN(5))
		switch random.IntN(5) {
		case 0:
			l.add(Ref{ID: fmt.Sprint(key, ".", added[key]), Key: key})
			added[key]++
		case 1, 2:
			r, ok, _ := l.next(now)
			if !ok {
				continue
			}
			if _, two := busy[r.Key]; two {
				t.Fatalf("two of key %s are under way", r.Key)
			}
			if want := fmt.Sprint(r.Key, ".", done[r.Key]); r.ID != want {
				t.Fatalf("%s is under way, want %s", r.ID, want)
			}
			busy[r.Key] = r
		case 3:
			if r, is := busy[key]; is {
				delete(busy, key)
				done[key]++
				l.done(r)
			}
		case 4:
			if r, is := busy[key]; is {
				delete(busy, key)
				l.again(r, now.Add(time.Duration(random.IntN(3))*time.Second))
			}
			now = now.Add(time.Second)
		}
	}
	if done["k0"] == 0 {
		t.Error("nothing was done")
	}
}
