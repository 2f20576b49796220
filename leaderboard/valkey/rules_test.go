package valkey

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/test/servers"

	"github.com/valkey-io/valkey-go"
)

func one(player string, score float64) []leaderboard.Submission {
	return []leaderboard.Submission{{Player: player, Score: score}}
}

// command runs one on the server, as nobody does but a test.
func command(t testing.TB, r *Records, words ...string) valkey.ValkeyResult {
	t.Helper()
	client, err := r.options.Connection.Client()
	if err != nil {
		t.Fatal(err)
	}
	return client.Do(t.Context(), client.B().Arbitrary(words...).Build())
}

// keys are those on the server.
func keys(t testing.TB, r *Records) []string {
	t.Helper()
	all, err := command(t, r, "KEYS", "*").AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// passed waits until the server's clock shows a time.
func passed(t testing.TB, r *Records, at time.Time) {
	t.Helper()
	for clock(t, r).Before(at) {
	}
}

// clock is the server's.
func clock(t testing.TB, r *Records) time.Time {
	t.Helper()
	parts, err := command(t, r, "TIME").AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	now, err := moment(parts[0] + strings.Repeat("0", 6-len(parts[1])) + parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// Of a call that is refused nothing is recorded, also where it is only one of its submissions that cannot be.
func TestSubmitRefuses(t *testing.T) {
	r := open(t, servers.Valkey(t, servers.ValkeyOptions{}))
	best, sum := daily(10), daily(10)
	sum.Route, sum.Aggregate = "sums", leaderboard.Sum
	submit(t, r, best, "b", "ann", 1)
	submit(t, r, sum, "b", "ann", leaderboard.Exact-1)
	if _, _, err := r.Submit(t.Context(), best, leaderboard.Request{Board: "b", Key: "k", Print: "x", Submissions: one("bob", 1)}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		rules *leaderboard.Rules
		q     leaderboard.Request
		want  error
	}{
		"no number":          {best, leaderboard.Request{Board: "b", Submissions: one("eve", math.NaN())}, leaderboard.ErrScore},
		"infinity":           {best, leaderboard.Request{Board: "b", Submissions: one("eve", math.Inf(-1))}, leaderboard.ErrScore},
		"beyond 2^53":        {best, leaderboard.Request{Board: "b", Submissions: one("eve", leaderboard.Exact+2)}, leaderboard.ErrScore},
		"a part of a sum":    {sum, leaderboard.Request{Board: "b", Submissions: one("eve", 0.5)}, leaderboard.ErrScore},
		"one of two":         {best, leaderboard.Request{Board: "b", Submissions: append(one("eve", 1), one("eve", math.NaN())...)}, leaderboard.ErrScore},
		"a sum that is full": {sum, leaderboard.Request{Board: "b", Submissions: append(one("eve", 1), one("ann", 2)...)}, leaderboard.ErrTooLarge},
		"a sum of the call":  {sum, leaderboard.Request{Board: "b", Submissions: append(one("eve", leaderboard.Exact), one("eve", -1)...)}, leaderboard.ErrTooLarge},
		"of another board":   {sum, leaderboard.Request{Board: "c", Submissions: append(one("eve", leaderboard.Exact), one("eve", 1)...)}, leaderboard.ErrTooLarge},
		"a key for another":  {best, leaderboard.Request{Board: "b", Key: "k", Print: "y", Submissions: one("eve", 1)}, leaderboard.ErrKeyReused},
	} {
		before := map[*leaderboard.Rules]leaderboard.View{}
		for _, rules := range []*leaderboard.Rules{best, sum} {
			before[rules], _ = r.Top(t.Context(), rules, "b", 100)
		}
		if _, _, err := r.Submit(t.Context(), c.rules, c.q); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		for rules, was := range before {
			if is, err := r.Top(t.Context(), rules, "b", 100); err != nil || is.Version != was.Version || len(is.Entries) != len(was.Entries) {
				t.Errorf("%s: %+v is recorded, %v", name, is, err)
			}
		}
	}
	if boards, err := r.Boards(t.Context(), sum); err != nil || len(boards) != 1 {
		t.Errorf("boards: %q, %v", boards, err)
	}
	if got := submit(t, r, sum, "b", "ann", 1); got.Score != leaderboard.Exact {
		t.Errorf("what just fits: %+v", got)
	}
}

// However many clients there are, a route gets no more boards than it may have; those that are there stay usable.
func TestTooManyBoards(t *testing.T) {
	v := servers.Valkey(t, servers.ValkeyOptions{})
	a, b, rules := open(t, v), open(t, v), daily(10)
	var all sync.WaitGroup
	var mu sync.Mutex
	made := map[string]bool{}
	for i := range 20 {
		all.Go(func() {
			name := fmt.Sprint("board ", i)
			_, _, err := []*Records{a, b}[i%2].Submit(t.Context(), rules, leaderboard.Request{Board: name, Submissions: one("ann", 1)})
			mu.Lock()
			defer mu.Unlock()
			if made[name] = err == nil; err != nil && !errors.Is(err, leaderboard.ErrTooManyBoards) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	boards, err := a.Boards(t.Context(), rules)
	if err != nil || len(boards) != rules.MaxBoards {
		t.Fatalf("%q, %v", boards, err)
	}
	for _, name := range boards {
		if !made[name] {
			t.Errorf("%s is there, and was refused", name)
		}
		submit(t, b, rules, name, "ann", 2)
	}
	if v, err := a.Top(t.Context(), rules, "another", 10); err != nil || len(v.Entries) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if again, _ := a.Boards(t.Context(), rules); len(again) != len(boards) {
		t.Error("to look at a board makes one")
	}
}

// Boards of names that differ in what separates keys are apart.
func TestNamesOfBoards(t *testing.T) {
	r := open(t, servers.Valkey(t, servers.ValkeyOptions{}))
	rules := daily(10)
	rules.MaxBoards = 100
	names := []string{"a", "a:b", "{a}", "}", "a}{b", "%3A", ":", "", " ", "+", "ü", strings.Repeat("x", 1024)}
	for i, name := range names {
		submit(t, r, rules, name, "ann", float64(i))
	}
	for i, name := range names {
		if e, err := r.Player(t.Context(), rules, name, "ann"); err != nil || e.Score != float64(i) {
			t.Errorf("%q: %+v, %v", name, e, err)
		}
	}
	other := *rules
	other.Route = "scores:a"
	if v, err := r.Top(t.Context(), &other, "b", 1); err != nil || len(v.Entries) != 0 {
		t.Errorf("the board of another route: %+v, %v", v, err)
	}
}

// A window that was made shorter is shorter at once.
func TestShorterWindow(t *testing.T) {
	r := open(t, servers.Valkey(t, servers.ValkeyOptions{}))
	for _, top := range []int{0, 10} {
		rules := daily(top)
		rules.Route, rules.Window.Bucket = fmt.Sprint(top), 100*time.Millisecond
		submit(t, r, rules, "b", "ann", 1)
		e, err := r.Player(t.Context(), rules, "b", "ann")
		if err != nil {
			t.Fatal(err)
		}
		passed(t, r, e.At.Add(300*time.Millisecond))
		shorter := *rules
		shorter.Window.Length = 200 * time.Millisecond
		if v, err := r.Top(t.Context(), &shorter, "b", 10); err != nil || len(v.Entries) != 0 {
			t.Errorf("%+v, %v", v, err)
		}
	}
}

// A clock that is set back neither gives a time twice, nor adds to what is closed.
func TestClockSetBack(t *testing.T) {
	r, rules := open(t, servers.Valkey(t, servers.ValkeyOptions{})), daily(0)
	rules.Aggregate = leaderboard.Every
	submit(t, r, rules, "b", "ann", 1)
	ahead := time.Now().Add(10 * time.Minute).Truncate(time.Microsecond)
	if err := command(t, r, "HSET", r.board(rules, "b")+"m", "t", number(ahead.UnixMicro())).Error(); err != nil {
		t.Fatal(err)
	}
	submit(t, r, rules, "b", "bob", 1)
	submit(t, r, rules, "b", "cid", 1)
	v, err := r.Top(t.Context(), rules, "b", 10)
	if err != nil || len(v.Entries) != 3 || !v.Entries[1].At.Equal(ahead.Add(time.Microsecond)) || !v.Entries[2].At.Equal(ahead.Add(2*time.Microsecond)) {
		t.Errorf("%+v, %v", v, err)
	}
}

// A board that nobody has looked at shows nothing that has left, and once nothing is left of it, nothing of it stays on the server.
func TestIdleBoard(t *testing.T) {
	for _, rules := range allRules(time.Second) {
		if rules.Window.Span != leaderboard.Rolling || rules.Archived {
			continue
		}
		t.Run(rules.Route, func(t *testing.T) {
			t.Parallel()
			r := open(t, servers.Valkey(t, servers.ValkeyOptions{}))
			rules.Submitted, rules.Repeats = false, 0
			submit(t, r, rules, "b", "ann", 1)
			submit(t, r, rules, "b", "bob", 2)
			submitted := clock(t, r) // a board of one rank does not show the later of the two
			was, err := r.Top(t.Context(), rules, "b", 10)
			if err != nil || len(was.Entries) == 0 {
				t.Fatal(was, err)
			}
			passed(t, r, submitted.Add(rules.Window.Length+rules.Window.Bucket))
			if v, err := r.Top(t.Context(), rules, "b", 10); err != nil || len(v.Entries) != 0 || v.Version == was.Version {
				t.Errorf("after the window: %+v, %v", v, err)
			}
			if err := r.sweepRoute(t.Context(), rules); err != nil {
				t.Fatal(err)
			}
			if boards, err := r.Boards(t.Context(), rules); err != nil || len(boards) != 1 {
				t.Errorf("a board that was heard of lately: %q, %v", boards, err)
			}
			if err := command(t, r, "HSET", r.base(rules)+"b", "b", "l0").Error(); err != nil { // long ago
				t.Fatal(err)
			}
			if err := r.sweepRoute(t.Context(), rules); err != nil {
				t.Fatal(err)
			}
			if left := keys(t, r); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
			submit(t, r, rules, "b", "ann", 1)
			if v, err := r.Top(t.Context(), rules, "b", 10); err != nil || len(v.Entries) != 1 {
				t.Errorf("anew: %+v, %v", v, err)
			}
		})
	}
}

// A server that has no memory left records all of a call, or nothing, and shows what it has.
func TestNoMemory(t *testing.T) {
	r := open(t, servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--maxmemory-policy", "noeviction"}}))
	for _, rules := range allRules(time.Hour) {
		rules.Archived, rules.Window.Bucket = false, time.Minute
		if rules.Window.Span == leaderboard.Rolling {
			rules.Window.Length = time.Hour
		}
		submit(t, r, rules, "b", "ann", 1)
		was := keys(t, r)
		if err := command(t, r, "CONFIG", "SET", "maxmemory", "1").Error(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Submit(t.Context(), rules, leaderboard.Request{Board: "b", Key: "k", Submissions: one("bob", 5)}); !errors.Is(err, leaderboard.ErrFull) || !strings.Contains(err.Error(), "OOM") {
			t.Errorf("%+v: %v", *rules, err)
		}
		v, err := r.Top(t.Context(), rules, "b", 10)
		if err != nil || len(v.Entries) != 1 || !slices.Equal(keys(t, r), was) {
			t.Errorf("%+v: %+v, %v", *rules, v, err)
		}
		if err := command(t, r, "CONFIG", "SET", "maxmemory", "0").Error(); err != nil {
			t.Fatal(err)
		}
		if err := command(t, r, "FLUSHALL").Error(); err != nil {
			t.Fatal(err)
		}
	}
}

// A server that has no memory left gets room by what leaves the window.
func TestNoMemoryGetsRoom(t *testing.T) {
	for _, top := range []int{0, 1000} {
		r, rules := open(t, servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--maxmemory-policy", "noeviction"}})), daily(top)
		rules.Window.Length, rules.Window.Bucket = 2*time.Second, time.Second
		all := leaderboard.Request{Board: "b"}
		for i := range 1000 {
			all.Submissions = append(all.Submissions, one(fmt.Sprint("player ", i), float64(i))...)
		}
		if _, _, err := r.Submit(t.Context(), rules, all); err != nil {
			t.Fatal(err)
		}
		used, err := command(t, r, "MEMORY", "STATS").AsMap()
		if err != nil {
			t.Fatal(err)
		}
		total := used["total.allocated"]
		n, err := total.AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		if err := command(t, r, "CONFIG", "SET", "maxmemory", number(n)).Error(); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(30 * time.Second); ; {
			_, _, err := r.Submit(t.Context(), rules, leaderboard.Request{Board: "b", Submissions: one("ann", 1)})
			if v, failed := r.Top(t.Context(), rules, "b", 10); err == nil && failed == nil && len(v.Entries) == 1 && v.Entries[0].Player == "ann" {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("ranks %d: %v", top, err)
			}
		}
	}
}

// An archive that a route gets later takes what is there from then on, also of the bucket that is open; and an instance whose configuration
// has none yet takes nothing from it.
func TestArchiveIsSwitchedOn(t *testing.T) {
	v := servers.Valkey(t, servers.ValkeyOptions{})
	r, older, rules := open(t, v), open(t, v), daily(0)
	rules.Window.Length, rules.Window.Bucket = 200*time.Millisecond, 100*time.Millisecond
	submit(t, r, rules, "b", "ann", 1)
	now := *rules
	now.Archived = true
	if _, err := r.Top(t.Context(), &now, "b", 1); !errors.Is(err, leaderboard.ErrLoading) {
		t.Errorf("before the archive was asked: %v", err)
	}
	if empty, err := r.Empty(t.Context(), &now); err != nil || !empty {
		t.Fatal(empty, err)
	}
	if err := r.Loaded(t.Context(), &now, ""); err != nil {
		t.Fatal(err)
	}
	submit(t, r, &now, "b", "ann", 2)
	e, err := r.Player(t.Context(), &now, "b", "ann")
	if err != nil || e.Score != 2 {
		t.Fatalf("%+v, %v", e, err)
	}
	passed(t, r, e.At.Add(300*time.Millisecond))
	submit(t, older, rules, "b", "bob", 1)
	if err := older.sweepRoute(t.Context(), rules); err != nil {
		t.Fatal(err)
	}
	owed, err := r.Owed(t.Context(), &now, 10)
	if err != nil || len(owed) == 0 || owed[0].Start.After(e.At) || !owed[0].End.After(e.At) {
		t.Fatalf("%+v, %v", owed, err)
	}
	if members, err := r.Members(t.Context(), &now, owed[0], 0, 10); err != nil || len(members) != 1 || members[0].Score != 2 {
		t.Errorf("%+v, %v", members, err)
	}
}

// The archive is told of a bucket once it is closed, and until it has as many as there are; of an open one when something has come.
func TestOwed(t *testing.T) {
	for _, program := range servers.ValkeyPrograms() {
		t.Run(program, func(t *testing.T) { owed(t, open(t, servers.Valkey(t, servers.ValkeyOptions{Program: program}))) })
	}
}

func owed(t *testing.T, r *Records) {
	rules := daily(1)
	rules.Archived, rules.Window.Bucket = true, 300*time.Millisecond
	if empty, err := r.Empty(t.Context(), rules); err != nil || !empty {
		t.Fatal(empty, err)
	}
	if err := r.Loaded(t.Context(), rules, ""); err != nil {
		t.Fatal(err)
	}
	owed := func() []leaderboard.Bucket {
		t.Helper()
		all, err := r.Owed(t.Context(), rules, 10)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	archived := func(b leaderboard.Bucket, count int, want bool) {
		t.Helper()
		if done, err := r.Archived(t.Context(), rules, b, count); err != nil || done != want {
			t.Errorf("archived %+v, %d: %v, %v", b, count, done, err)
		}
	}
	for { // within one bucket
		submit(t, r, rules, "b", "ann", 1)
		submit(t, r, rules, "b", "bob", 2)
		all := owed()
		if len(all) == 0 || all[len(all)-1].Closed {
			continue
		}
		open := all[len(all)-1]
		archived(open, 2, false)
		if again := owed(); len(again) > 0 && again[len(again)-1] == open {
			t.Errorf("an open bucket to which nothing has come: %+v", again)
		}
		submit(t, r, rules, "b", "bob", 3)
		again := owed()
		if len(again) == 0 || again[len(again)-1] != open {
			continue // the bucket has ended meanwhile
		}
		break
	}
	open := owed()
	passed(t, r, open[len(open)-1].End)
	closed := owed()
	if len(closed) != len(open) {
		t.Fatalf("%+v, before %+v", closed, open)
	}
	last := closed[len(closed)-1]
	archived(open[len(open)-1], 2, false) // as it was before it was closed
	archived(last, 1, false)
	members, err := r.Members(t.Context(), rules, last, 0, 10)
	if err != nil || len(members) != 2 || members[0].Player != "bob" || members[0].Score != 3 {
		t.Errorf("%+v, %v", members, err)
	}
	archived(last, 2, true)
	archived(last, 2, true)
	if rest := owed(); len(rest) != len(closed)-1 {
		t.Errorf("%+v", rest)
	}
	if kept, err := r.buckets(t.Context(), rules, r.book.reading(rules), "b"); err != nil || len(kept) != len(closed) {
		t.Errorf("%+v, %v", kept, err)
	}
	if members, err := r.Members(t.Context(), rules, last, 0, 10); err != nil || len(members) != 1 {
		t.Errorf("what is kept for the ranking: %+v, %v", members, err)
	}
	if boards, bytes, err := r.Measure(t.Context(), rules); err != nil || boards != 1 || bytes < 500 {
		t.Errorf("%d boards, %d bytes, %v", boards, bytes, err)
	}
}
