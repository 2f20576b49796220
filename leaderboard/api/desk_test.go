package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/leaderboard/memory"
	"cacheproxy/test/bubbles"
)

// slow are records of which a read begins when it is called, and ends when it is let go.
type slow struct {
	leaderboard.Records
	reads atomic.Int64
	read  func() // after the records were read, before the answer; nil: at once
	err   error
}

func (s *slow) Top(ctx context.Context, r *leaderboard.Rules, board string, n int) (leaderboard.View, error) {
	s.reads.Add(1)
	v, err := s.Records.Top(ctx, r, board, n)
	if s.read != nil {
		s.read()
	}
	return v, errors.Join(err, s.err)
}

func route(t *testing.T, aggregate leaderboard.Aggregate) *Route {
	t.Helper()
	r := &Route{
		Player: "player", Score: "score", MinScore: -leaderboard.Exact, MaxScore: leaderboard.Exact, MaxBatch: 100,
		Rules: &leaderboard.Rules{Route: "scores", Aggregate: aggregate, Window: leaderboard.Window{Span: leaderboard.AllTime}, Top: 3, MaxBoards: 5, Repeats: time.Hour},
	}
	for name, form := range map[string]struct {
		to    *Form
		names []string
	}{"board": {&r.Shape.Board, BoardNames}, "entry": {&r.Shape.Entry, EntryNames}, "player": {&r.Shape.Player, PlayerNames}, "receipt": {&r.Shape.Receipt, ReceiptNames}} {
		var err error
		if *form.to, err = ParseForm(DefaultShape[name], form.names); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func read(t *testing.T, d *Desk, r *Route) string {
	t.Helper()
	a, err := d.Read(t.Context(), r, "b", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return string(a.Body)
}

func submit(t *testing.T, d *Desk, r *Route, player string, score float64) string {
	t.Helper()
	a, err := d.Submit(t.Context(), r, Sent{Board: "b", Body: fmt.Appendf(nil, `{"player": %q, "score": %v}`, player, score)})
	if err != nil {
		t.Fatal(err)
	}
	return string(a.Body)
}

// What others record is seen within Fresh, whatever is asked meanwhile; and many readers are one read.
func TestFresh(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		s := &slow{Records: memory.New(time.Now)}
		d, r := NewDesk(s, time.Second), route(t, leaderboard.Best)
		others := NewDesk(s.Records, time.Second)
		read(t, d, r)
		submit(t, others, r, "ada", 7)
		since := time.Now()
		for !strings.Contains(read(t, d, r), "ada") {
			if time.Since(since) > Fresh+time.Millisecond {
				t.Fatalf("not seen after %v", time.Since(since))
			}
			time.Sleep(time.Millisecond)
		}
		before := s.reads.Load()
		for range 1000 { // a second of reads
			read(t, d, r)
			time.Sleep(time.Millisecond)
		}
		if n := s.reads.Load() - before; n > 5 {
			t.Errorf("%d reads of the records in a second", n)
		}
	})
}

// A reader sees what its instance has acknowledged, also where the records were read before that and answer after it.
func TestOwnScoreIsSeen(t *testing.T) {
	for _, aggregate := range []leaderboard.Aggregate{leaderboard.Best, leaderboard.Lowest, leaderboard.Sum, leaderboard.Last, leaderboard.Every} {
		bubbles.Test(t, func(t *testing.T) {
			held := make(chan struct{})
			s := &slow{Records: memory.New(time.Now), read: func() { <-held }}
			d, r := NewDesk(s, time.Minute), route(t, aggregate)
			early := make(chan string)
			go func() { early <- read(t, d, r) }()
			synctest.Wait()
			submit(t, d, r, "ada", 7)
			late := make(chan string)
			go func() { late <- read(t, d, r) }()
			synctest.Wait()
			close(held)
			if <-early; !strings.Contains(<-late, "ada") {
				t.Errorf("aggregate %d: a reader that came after the acknowledgement shares what was read before it", aggregate)
			}
		})
	}
}

// Who leaves the top is not seen there any more, and what does not come near it costs no read.
func TestWhatConcernsTheTop(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		s := &slow{Records: memory.New(time.Now)}
		d, r := NewDesk(s, time.Second), route(t, leaderboard.Best)
		for i, player := range []string{"a", "b", "c"} {
			submit(t, d, r, player, float64(10+i))
		}
		read(t, d, r)
		for range 10 {
			if receipt := submit(t, d, r, "low", 1); !strings.Contains(receipt, `"rank": null, "beyond": 3`) {
				t.Fatal(receipt)
			}
			read(t, d, r)
		}
		if n := s.reads.Load(); n != 1 {
			t.Errorf("%d reads for scores that are not on the board", n)
		}
		last := route(t, leaderboard.Last)
		last.Rules.Route = "last"
		for i, player := range []string{"a", "b", "c", "e"} {
			submit(t, d, last, player, float64(10+i))
		}
		if read(t, d, last); !strings.Contains(read(t, d, last), `"e"`) {
			t.Fatal("e leads")
		}
		submit(t, d, last, "e", 1)
		if strings.Contains(read(t, d, last), `"e"`) {
			t.Error("e has fallen off the board and is still shown")
		}
	})
}

// Where all places are kept, a new player is one more of those counted, however far from the top. An answer that shows no count stays.
func TestWhatConcernsTheCount(t *testing.T) {
	for _, aggregate := range []leaderboard.Aggregate{leaderboard.Best, leaderboard.Lowest} {
		bubbles.Test(t, func(t *testing.T) {
			s := &slow{Records: memory.New(time.Now)}
			d, r := NewDesk(s, time.Second), route(t, aggregate)
			r.Rules.Top = 0
			worst := map[leaderboard.Aggregate]float64{leaderboard.Best: -1, leaderboard.Lowest: 1}[aggregate]
			var list []leaderboard.Submission
			for i := range r.Most() {
				list = append(list, leaderboard.Submission{Player: fmt.Sprint("player ", i)})
			}
			if _, _, err := s.Submit(t.Context(), r.Rules, leaderboard.Request{Board: "b", Submissions: list}); err != nil {
				t.Fatal(err)
			}
			if got := read(t, d, r); !strings.Contains(got, `"players": 1000`) {
				t.Fatal(got)
			}
			if receipt := submit(t, d, r, "last", worst); !strings.Contains(receipt, `"rank": 1001`) {
				t.Fatal(receipt)
			}
			if got := read(t, d, r); !strings.Contains(got, `"players": 1001`) {
				t.Errorf("aggregate %d: the acknowledged submission of a new player is not counted: %.60s", aggregate, got)
			}

			var err error
			if r.Shape.Board, err = ParseForm(`{"entries": {entries}}`, BoardNames); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * Fresh)
			read(t, d, r)
			before := s.reads.Load()
			submit(t, d, r, "later", worst)
			if read(t, d, r); s.reads.Load() != before {
				t.Errorf("aggregate %d: the records are read for a score that no answer shows", aggregate)
			}
		})
	}
}

// A read that failed is for those who waited for it, and for nobody after them.
func TestFailedReadIsNotKept(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		s := &slow{Records: memory.New(time.Now), err: errors.New("away")}
		d, r := NewDesk(s, time.Second), route(t, leaderboard.Best)
		var refused *Refusal
		if _, err := d.Read(t.Context(), r, "b", "", time.Now()); !errors.As(err, &refused) || refused.Code != 503 || refused.Err == nil {
			t.Errorf("%v", err)
		}
		s.err = nil
		read(t, d, r)
	})
}

// Answers of many boards and questions are bounded.
func TestTopsAreBounded(t *testing.T) {
	d, r := NewDesk(nil, time.Second), route(t, leaderboard.Best)
	for i := range 60_000 {
		if _, err := d.Read(t.Context(), r, fmt.Sprint("board ", i), "", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(d.tops.read); n > maxTops/256 {
		t.Errorf("answers of %d boards are kept", n)
	}
}

func TestPermitsAreBoundedAndEnd(t *testing.T) {
	var p Permits
	now := time.Now()
	for i := range 3 * maxPermits {
		p.Keep(fmt.Sprint(i), Permit{}, now)
	}
	if n := len(p.known); n > maxPermits {
		t.Errorf("%d permits are kept", n)
	}
	p.Keep("a", Permit{Player: "ada"}, now)
	if got, ok := p.Find("a", now.Add(permitted-1)); !ok || got.Player != "ada" {
		t.Error("a permission is forgotten")
	}
	if _, ok := p.Find("a", now.Add(permitted)); ok {
		t.Error("a permission does not end")
	}
	if _, ok := p.Find("b", now); ok {
		t.Error("what was not asked is allowed")
	}
}

func TestForms(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": {rank}, "b": [{player}]}`: "", `{rank}`: "", `{}`: "", `{"x": {"rank": {rank}}}`: "", `"{rank}"`: "is not JSON", `{rang}`: "stands for nothing",
		`{"{rank}": 1}`: "is not JSON", `{"a": {rank}`: "is not JSON", ``: "is not JSON", `{rank}{rank}`: "is not JSON",
	} {
		if _, err := ParseForm(text, []string{"rank", "player"}); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Whatever a client sends is taken whole or refused, and what is taken can be shown and read again.
func FuzzSubmission(f *testing.F) {
	for _, seed := range []string{`{"player":"a","score":1}`, `[{"player":"a","score":1},{"player":"b","score":-0}]`, `{"player":"\u0041","score":1e3}`, `[[`, `{"player":{"a":1},"score":[]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := route(t, leaderboard.Sum)
		list, _, refused := r.parse(body)
		if refused != nil && (refused.Code < 400 || refused.Code > 499 || len(list) > 0) {
			t.Fatalf("%d %v", refused.Code, list)
		}
		for _, s := range list {
			if wrong := checkName("player", s.Player); wrong != nil || r.Rules.CheckScores([]leaderboard.Submission{s}) != nil {
				t.Fatalf("taken: %+v", s)
			}
			again := fmt.Appendf(nil, `{"player": %s, "score": %s}`, text(s.Player), number(s.Score))
			if got, _, refused := r.parse(again); refused != nil || got[0] != s {
				t.Fatalf("%s: %v %v, want %v", again, got, refused, s)
			}
		}
	})
}

// A receipt of which nobody knows what it comes to says so.
func TestReceiptWhileReadBack(t *testing.T) {
	got := string(route(t, leaderboard.Sum).receipts("b", []leaderboard.Receipt{{Player: "ada", Loading: true}}, false))
	if want := `{"player": "ada", "score": null, "rank": null, "beyond": null}` + "\n"; got != want {
		t.Errorf("%s", got)
	}
}

// What the client reads says which of the reasons to come again it is, and never that what was refused may be recorded.
func TestRefusalsOfRecords(t *testing.T) {
	for err, want := range map[error]string{leaderboard.ErrFull: "are full", leaderboard.ErrOtherRules: "other rules", leaderboard.ErrLoading: "read back", leaderboard.ErrNotDurable: "may be recorded", context.DeadlineExceeded: "do not answer"} {
		r := route(t, leaderboard.Best).refusalOf(fmt.Errorf("submit: %w", err), "", true)
		if r.Code != 503 || !strings.Contains(r.Text, want) || strings.Contains(r.Text, "may be recorded") != (errors.Is(err, leaderboard.ErrNotDurable) || errors.Is(err, context.DeadlineExceeded)) {
			t.Errorf("%v: %d %s", err, r.Code, r.Text)
		}
	}
}
