package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"cacheproxy/leaderboard"
)

var aggregates = map[string]leaderboard.Aggregate{
	"best": leaderboard.Best, "lowest": leaderboard.Lowest, "sum": leaderboard.Sum, "last": leaderboard.Last, "submissions": leaderboard.Every,
}

var errDied = errors.New("died")

func noon() time.Time { return time.Now().Add(-time.Hour).Truncate(time.Minute) }

// history is a board on which submissions come and two archivers work, of which each may die at the worst moments.
type history struct {
	*testing.T
	d     *database
	r     *leaderboard.Rules
	s     *records
	a     [2]*Archiver
	rand  *rand.Rand
	lines map[string]leaderboard.Line // acknowledged, by what tells one from another
}

func newHistory(t *testing.T, aggregate leaderboard.Aggregate, seed uint64) *history {
	h := &history{T: t, d: newDatabase(t), r: rules(aggregate), s: newRecords(noon()), rand: rand.New(rand.NewPCG(seed, 1)), lines: map[string]leaderboard.Line{}}
	for i := range h.a {
		h.a[i] = h.d.archiver(h.s, Route{Rules: h.r})
	}
	h.d.mustLook(h.a[0])
	return h
}

func told(l leaderboard.Line) string {
	return fmt.Sprint(l.At.UnixMicro(), l.ID, l.Submission.Player, l.Submission.Score)
}

func (h *history) submit() {
	l := h.s.submit(h.r, "chess", fmt.Sprintf("player%d", h.rand.IntN(20)), float64(h.rand.IntN(50)-10))
	h.lines[told(l)] = l
	h.s.advance(time.Microsecond)
}

// step is a few submissions, some time, and a look that may fail.
func (h *history) step() {
	for range h.rand.IntN(5) {
		h.submit()
	}
	h.s.advance(time.Duration(h.rand.IntN(20)) * time.Second)
	a := h.a[h.rand.IntN(2)]
	died := h.rand.IntN(4)
	switch {
	case died == 0: // after a commit, before the records hear of it
		a.committed = func() error { return errDied }
	case died == 1: // the connection breaks between COPY and COMMIT
		h.s.failAt = func(call string) error {
			if call == "Mark" && h.rand.IntN(3) == 0 {
				h.d.do("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '" + h.d.role + "'")
			}
			return nil
		}
	case died == 2:
		calls := []string{"Owed", "Members", "Mark", "Archived", "Lines", "Taken", "Boards", "Empty"}
		at := calls[h.rand.IntN(len(calls))]
		h.s.failAt = func(call string) error {
			if call == at {
				return errDied
			}
			return nil
		}
	}
	if err := h.d.looks(a); err != nil && died == 3 {
		h.Fatal(err)
	}
	a.committed, h.s.failAt = func() error { return nil }, nil
}

// settle has both archive all that there is, closed.
func (h *history) settle() {
	h.Helper()
	h.s.advance(2 * time.Minute)
	for range 2 {
		for _, a := range h.a {
			h.d.mustLook(a)
		}
	}
	if owed, err := h.s.Owed(context.Background(), h.r, 10); len(owed) > 0 || err != nil {
		h.Errorf("owed in the end: %v, %v", owed, err)
	}
}

func (h *history) archivedLines() map[string]int {
	h.Helper()
	rows, err := h.d.Query(context.Background(), `SELECT id, player, score, at FROM leaderboard_archive.submission WHERE route = 'scores' AND board = 'chess'`)
	if err != nil {
		h.Fatal(err)
	}
	defer rows.Close()
	all := map[string]int{}
	for rows.Next() {
		var l leaderboard.Line
		if err := rows.Scan(&l.ID, &l.Submission.Player, &l.Submission.Score, &l.At); err != nil {
			h.Fatal(err)
		}
		all[told(l)]++
	}
	return all
}

// Whatever fails, and wherever an archiver dies, the archive has in the end what was submitted: each bucket, and each submission once.
func TestArchiveIsTheModel(t *testing.T) {
	for name, aggregate := range aggregates {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, aggregate, 1)
			for range 40 {
				h.step()
			}
			h.settle()
			same(t, "buckets", h.d.scores(h.r, "chess"), h.s.content(h.r, "chess"))
			archived := h.archivedLines()
			for k, l := range h.lines {
				if archived[k] != 1 {
					t.Errorf("submission %v is there %d times", l, archived[k])
				}
			}
			if len(archived) != len(h.lines) {
				t.Errorf("%d submissions in the archive, %d were made", len(archived), len(h.lines))
			}
			if left := len(h.s.state.lines[key{"scores", "chess"}]); left > 0 {
				t.Errorf("%d submissions are archived and not forgotten", left)
			}
			if h.s.cuts == 0 {
				t.Error("no bucket was cut")
			}
		})
	}
}

// A server that has lost everything, or is set back to an older state, takes nothing from the archive, has again what the archive has, and loses
// nothing of what comes after.
func TestRecordsLostAndSetBack(t *testing.T) {
	for name, aggregate := range aggregates {
		for _, how := range []string{"emptied", "set back", "set back and idle"} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				lost := how == "emptied"
				h := newHistory(t, aggregate, 2)
				for range 5 {
					h.step()
				}
				h.d.mustLook(h.a[0])
				if how == "set back and idle" {
					h.settle() // nothing is owed then, so that only check can find it
				}
				old := h.s.snapshot()
				if lost {
					old = nil
				}
				for range 15 {
					h.step()
				}
				// Closed, so that no sum of afterwards is in a bucket of before: what such a one lacks cannot be told.
				h.settle()
				before, linesBefore := h.d.scores(h.r, "chess"), h.archivedLines()
				h.s.restore(old)
				after := map[string]leaderboard.Line{}
				if how == "set back" { // a bucket that is taken finds it by itself
					h.d.unchecked, h.r.Submitted = true, aggregate%2 == 0
					for range 3 { // with ids that were given before
						h.submit()
					}
				}
				for _, a := range h.a {
					h.d.mustLook(a)
				}
				if content := h.s.content(h.r, "chess"); !lost {
					for k, m := range before {
						if got := content[k]; got.Score != m.Score || !got.At.Equal(m.At) {
							t.Errorf("after it was set back the server has %v for %s, the archive %v", got, k, m)
						}
					}
				} else {
					same(t, "read back", content, before)
				}
				if s := h.a[0].States()[0]; lost && s.Loads+h.a[1].States()[0].Loads < 2 || !lost && s.Mended+h.a[1].States()[0].Mended == 0 {
					t.Errorf("%+v", s)
				}
				for range 5 {
					n := len(h.lines)
					h.submit()
					if len(h.lines) == n {
						t.Fatal("a submission is like another, and proves nothing")
					}
				}
				maps.Copy(after, h.lines)
				h.settle()
				got := h.d.scores(h.r, "chess")
				for k, m := range before {
					if got[k].Score != m.Score {
						t.Errorf("the archive had %v for %s, and has %v", m, k, got[k])
					}
				}
				for k, m := range h.s.content(h.r, "chess") {
					if got[k].Score != m.Score {
						t.Errorf("the server has %v for %s, the archive %v", m, k, got[k])
					}
				}
				archived := h.archivedLines()
				for k := range after {
					if h.r.Submitted && archived[k] != 1 {
						t.Errorf("submission %s is there %d times", k, archived[k])
					}
				}
				for k := range linesBefore {
					if archived[k] != 1 {
						t.Errorf("submission %s is no more", k)
					}
				}
			})
		}
	}
}

// An all-time board comes back whole, as one bucket and those that were open.
func TestAllTimeComesBack(t *testing.T) {
	for name, aggregate := range aggregates {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, aggregate, 3)
			h.r.Window.Span = leaderboard.AllTime
			for range 15 {
				h.step()
			}
			h.settle()
			want := map[memberKey]leaderboard.Member{}
			for _, l := range h.d.scores(h.r, "chess") {
				k := memberKey{l.Player, l.ID}
				is, there := want[k]
				switch {
				case !there:
				case aggregate == leaderboard.Sum:
					l.Score += is.Score
					if is.At.After(l.At) {
						l.At = is.At
					}
				default:
					l = merged(h.r, is, l)
				}
				want[k] = l
			}
			h.submit()
			h.d.mustLook(h.a[0])
			open := len(h.d.scores(h.r, "chess")) // one more, in a bucket that is open
			h.s.restore(nil)
			h.d.mustLook(h.a[0])
			got := h.s.state.totals[key{"scores", "chess"}]
			for k, w := range want {
				if g := got[k]; g.Score != w.Score || !g.At.Equal(w.At) {
					t.Errorf("%v: got %v, want %v", k, g, w)
				}
			}
			if len(got) != len(want) || open == 0 || len(h.s.state.buckets) != 1 {
				t.Errorf("%d players and %d buckets, want %d and 1", len(got), len(h.s.state.buckets), len(want))
			}
		})
	}
}

// Of a bucket that could be cut to its first K no more is read back, and these are the first.
func TestFirstOfEachBucketComeBack(t *testing.T) {
	h := newHistory(t, leaderboard.Best, 4)
	h.r.Top = 3
	for i := range 10 {
		h.s.submit(h.r, "chess", fmt.Sprintf("p%d", i), float64(i/2))
		h.s.advance(time.Microsecond)
	}
	h.settle()
	h.s.restore(nil)
	h.d.mustLook(h.a[0])
	var got []string
	for _, m := range h.s.content(h.r, "chess") {
		got = append(got, m.Player)
	}
	if want := map[string]bool{"p8": true, "p9": true, "p6": true}; len(got) != 3 || !want[got[0]] || !want[got[1]] || !want[got[2]] {
		t.Errorf("got %v, want p8, p9 and the earlier of p6 and p7", got)
	}
}

// What is too old goes, in steps, and nothing that the window needs.
func TestRetention(t *testing.T) {
	h := newHistory(t, leaderboard.Best, 5)
	h.r.Window.Length = 10 * time.Minute
	h.s.now = time.Now().Add(-3 * time.Hour).Truncate(time.Minute)
	for range 180 {
		h.s.submit(h.r, "chess", "alice", 1)
		h.s.advance(time.Minute)
	}
	h.settle()
	a := h.d.archiver(h.s, Route{Rules: h.r, Retention: 30 * time.Minute})
	deleteAll := func(a *Archiver) { // each look has a share of its time for it
		for before := uint64(1 << 60); a.States()[0].Deleted != before; {
			before = a.States()[0].Deleted
			h.d.mustLook(a)
		}
	}
	deleteAll(a)
	oldest := one[time.Time](h.d, "SELECT min(bucket) FROM leaderboard_archive.score")
	if age := time.Since(oldest); age < 28*time.Minute || age > 33*time.Minute {
		t.Errorf("the oldest score is %s old", age)
	}
	if first := one[time.Time](h.d, "SELECT min(at) FROM leaderboard_archive.submission"); time.Since(first) < 28*time.Minute || time.Since(first) > 33*time.Minute {
		t.Errorf("the oldest submission is %s old", time.Since(first))
	}
	if n := one[int](h.d, "SELECT count(*) FROM leaderboard_archive.bucket WHERE ends < now() - interval '33 minutes'"); n > 0 {
		t.Errorf("%d buckets stay", n)
	}
	if s := a.States()[0]; s.Deleted < 400 {
		t.Errorf("%+v", s)
	}
	short := h.d.archiver(h.s, Route{Rules: h.r, Retention: time.Minute}) // less than the window
	deleteAll(short)
	if n := one[int](h.d, "SELECT count(*) FROM leaderboard_archive.score"); n < 9 {
		t.Errorf("%d buckets of a window of ten are left", n)
	}
}

// Two that archive at once, with nothing to stop them from doing the same, come to the same.
func TestTwoAtOnce(t *testing.T) {
	h := newHistory(t, leaderboard.Sum, 6)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	done := make(chan error, 2)
	for _, a := range h.a {
		go func() {
			for ctx.Err() == nil {
				if err := a.look(ctx)(); err != nil && ctx.Err() == nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 2000 {
		h.submit()
		h.s.advance(100 * time.Millisecond)
	}
	stop()
	for range h.a {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	h.settle()
	same(t, "buckets", h.d.scores(h.r, "chess"), h.s.content(h.r, "chess"))
	if n := one[int](h.d, "SELECT count(*) FROM leaderboard_archive.submission"); n != len(h.lines) {
		t.Errorf("%d submissions, want %d", n, len(h.lines))
	}
}
