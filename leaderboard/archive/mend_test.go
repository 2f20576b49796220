package archive

import (
	"context"
	"maps"
	"testing"
	"time"

	"cacheproxy/leaderboard"
)

// gone is a server that was set back to what it had before its last submission, which the archive has: its mark lacks one.
func gone(t *testing.T, aggregate leaderboard.Aggregate) (h *history, lacks map[string]leaderboard.Member) {
	h = newHistory(t, aggregate, 7)
	h.d.unchecked, h.r.Submitted = true, false
	h.s.submit(h.r, "chess", "alice", 1)
	h.d.mustLook(h.a[0])
	old := h.s.snapshot()
	h.s.advance(time.Second)
	h.s.submit(h.r, "chess", "bob", 2)
	h.d.mustLook(h.a[0])
	if got, was := h.s.state.marks[key{"scores", "chess"}], old.marks[key{"scores", "chess"}]; got != was+1 {
		t.Fatalf("the mark is %d, and was %d", got, was)
	}
	h.s.advance(2 * time.Minute) // the bucket is closed: owed, whatever has come to it
	h.s.restore(old)
	return h, h.d.scores(h.r, "chess")
}

// That records went back is found by everybody until they are mended: to find it, and to fail at it, changes nothing.
func TestWentBackIsFoundUntilItIsMended(t *testing.T) {
	for name, aggregate := range aggregates {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, want := gone(t, aggregate)
			h.s.failAt = func(call string) error {
				if call == "Load" {
					return errDied
				}
				return nil
			}
			for _, a := range h.a {
				if err := h.d.looks(a); err == nil {
					t.Error("records that cannot be mended are taken")
				}
			}
			h.s.failAt = nil
			h.d.mustLook(h.a[0])
			same(t, "mended", h.s.content(h.r, "chess"), want)
			if n := h.a[0].States()[0].Mended; n != 1 {
				t.Errorf("mended %d times", n)
			}
			h.settle()
			same(t, "archive", h.d.scores(h.r, "chess"), want)
		})
	}
}

// delayed is a source for one archiver that is stopped between the mark that it was given and the end of its transaction.
type delayed struct {
	leaderboard.Source
	after func()
}

func (d *delayed) Mark(ctx context.Context, r *leaderboard.Rules, board string, given int64) (int64, error) {
	mark, err := d.Source.Mark(ctx, r, board, given)
	if after := d.after; after != nil {
		d.after = nil
		after()
	}
	return mark, err
}

// An archiver that has read of records which are mended before it commits does not commit. Else the archive had something that nobody would find to
// be missing in the records.
func TestWhoHasReadBeforeRecordsWentBack(t *testing.T) {
	for name, aggregate := range aggregates {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, aggregate, 8)
			h.r.Submitted = false
			h.s.submit(h.r, "chess", "alice", 1)
			h.d.mustLook(h.a[0])
			old := h.s.snapshot()
			h.s.submit(h.r, "chess", "bob", 2)
			h.d.mustLook(h.a[0])
			h.s.submit(h.r, "chess", "carol", 3)
			slow := h.d.archiver(&delayed{h.s, func() {
				h.s.restore(old)
				h.d.due(h.a[1])
				if err := h.a[1].look(t.Context())(); err != nil {
					t.Error(err)
				}
				if h.a[1].States()[0].Mended != 1 {
					t.Error("the records are not mended")
				}
			}}, Route{Rules: h.r})
			h.d.mustLook(slow)
			h.settle()
			same(t, "archive", h.d.scores(h.r, "chess"), h.s.content(h.r, "chess"))
		})
	}
}

// While one instance reads an empty server back, another that looks, and has everything to check, does not have a part of it shown.
func TestAnotherReadsBack(t *testing.T) {
	h := newHistory(t, leaderboard.Best, 9)
	h.s.submit(h.r, "chess", "alice", 1)
	h.d.mustLook(h.a[0])
	h.s.restore(nil)
	at, err := connect(t, h.d.url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if busy, err := another(t.Context(), at, "load", h.r.Route, ""); busy || err != nil {
		t.Fatal(busy, err)
	}
	if err := h.d.looks(h.a[1]); err != nil {
		t.Fatal(err)
	}
	if h.s.state.loaded[h.r.Route] || len(h.s.content(h.r, "chess")) > 0 {
		t.Error("records that another instance reads back are shown")
	}
	if err := at.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.d.mustLook(h.a[1])
	same(t, "read back", h.s.content(h.r, "chess"), h.d.scores(h.r, "chess"))
}

// A board that was given up, and is made again, has lost its mark, and nothing else: it is archived at the next look, and nobody is warned.
func TestBoardIsMadeAgain(t *testing.T) {
	h := newHistory(t, leaderboard.Best, 10)
	h.r.Window.Length, h.r.Submitted = time.Minute, false
	for range 10 {
		h.s.submit(h.r, "chess", "alice", 1)
		h.d.mustLook(h.a[0])
	}
	h.settle()
	before := h.d.scores(h.r, "chess")
	empty := newState()
	empty.loaded[h.r.Route] = true
	h.s.restore(empty)
	h.s.advance(10 * time.Minute)
	h.s.submit(h.r, "chess", "bob", 2)
	h.d.mustLook(h.a[0])
	h.settle()
	maps.Copy(before, h.s.content(h.r, "chess"))
	same(t, "archive", h.d.scores(h.r, "chess"), before)
	if n := h.a[0].States()[0].Mended + h.a[1].States()[0].Mended; len(before) != 2 || n != 0 {
		t.Errorf("%d scores, mended %d times", len(before), n)
	}
}

// slow is a source of which one board is not read before it is let go.
type slow struct {
	leaderboard.Source
	board      string
	asked, end chan struct{}
}

func (s *slow) Members(ctx context.Context, r *leaderboard.Rules, b leaderboard.Bucket, from, most int) ([]leaderboard.Member, error) {
	if b.Board == s.board {
		select {
		case s.asked <- struct{}{}:
			<-s.end
		case <-s.end:
		}
	}
	return s.Source.Members(ctx, r, b, from, most)
}

// A board that is slow holds up neither the other boards of its route nor other routes.
func TestSlowBoard(t *testing.T) {
	d, s := newDatabase(t), newRecords(noon())
	one, other := rules(leaderboard.Best), rules(leaderboard.Best)
	other.Route = "others"
	a := d.archiver(s, Route{Rules: one}, Route{Rules: other})
	d.mustLook(a) // which reads back nothing
	for _, board := range []string{"a slow one", "b", "c"} {
		s.submit(one, board, "alice", 1)
	}
	s.submit(other, "d", "alice", 1)
	source := &slow{s, "a slow one", make(chan struct{}), make(chan struct{})}
	a.records = source
	d.due(a)
	ended := a.look(t.Context())
	<-source.asked
	late := time.After(20 * time.Second)
	for len(d.scores(one, "b")) == 0 || len(d.scores(one, "c")) == 0 || len(d.scores(other, "d")) == 0 {
		select {
		case <-late:
			close(source.end)
			t.Fatal("the other boards wait for a slow one")
		case <-time.After(5 * time.Millisecond):
		}
	}
	if n := len(d.scores(one, "a slow one")); n != 0 {
		t.Errorf("%d scores of the slow board", n)
	}
	close(source.end)
	if err := ended(); err != nil {
		t.Error(err)
	}
	if n := len(d.scores(one, "a slow one")); n != 1 {
		t.Errorf("%d scores of the slow board", n)
	}
}

// Whoever is told that a look has ended finds its routes free: the next look leaves none out.
func TestRoutesAreFreeAfterALook(t *testing.T) {
	d, s := newDatabase(t), newRecords(noon())
	r := rules(leaderboard.Best)
	a := d.archiver(s, Route{Rules: r})
	d.mustLook(a)
	for n := range 20_000 { // nothing is due, so that each takes microseconds
		ended := a.look(t.Context())
		if err := ended(); err != nil {
			t.Fatal(err)
		}
		if a.progress(r.Route).busy.Load() {
			t.Fatalf("after look %d the route is not free", n)
		}
	}
}
