package valkey

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/leaderboard/model"
	"cacheproxy/test/servers"
)

var (
	seed   = flag.Uint64("seed", 0, "of the random boards; 0: another one each time")
	length = flag.Duration("length", 1500*time.Millisecond, "for how long random boards are written to")
)

// names are of players: short ones that are the beginning of others, such with what the records separate by, and a long one.
var names = func() []string {
	all := []string{"", "a", "a\x00", "a\x00\x01", "a\x00\xff", "a\x00b", "ab", "a:b", "{a}", "\xff\xfe", "ünï", "a b", "\x00", "\x00\x00", "\x01", string(slices.Repeat([]byte("x\x00"), 512))}
	for i := range 8 {
		all = append(all, "player "+strconv.Itoa(i))
	}
	return all
}()

// dayEnds is a zone in which the day ends at the next whole second after a while.
func dayEnds(after time.Duration) *time.Location {
	midnight := time.Now().UTC().Add(after).Truncate(time.Second).Add(time.Second)
	return time.FixedZone("test", int((24*time.Hour - midnight.Sub(midnight.Truncate(24*time.Hour))).Seconds()))
}

// allRules are rules of every kind. The day of those that have one ends soon.
func allRules(length time.Duration) (all []*leaderboard.Rules) {
	zone := dayEnds(length / 8)
	for aggregate := leaderboard.Best; aggregate <= leaderboard.Every; aggregate++ {
		for ties := leaderboard.Earlier; ties <= leaderboard.ByName; ties++ {
			for span := leaderboard.Rolling; span <= leaderboard.Week; span++ {
				for _, top := range []int{0, 1, 5} {
					for _, archived := range []bool{false, true} {
						r := &leaderboard.Rules{
							Aggregate: aggregate, Ties: ties, Top: top, MaxBoards: 10, Archived: archived, Submitted: true, Repeats: time.Minute,
							Window: leaderboard.Window{Span: span, Bucket: 100 * time.Millisecond},
						}
						if span == leaderboard.Rolling {
							r.Window.Length = 500 * time.Millisecond
						}
						if r.Window.Location = zone; span == leaderboard.Week {
							r.Window.Location = nil
						}
						r.Route = fmt.Sprint(aggregate, ties, span, top, archived)
						all = append(all, r)
					}
				}
			}
		}
	}
	return all
}

// seen is one reading of a board, at the server's time.
type seen struct {
	now    time.Time
	around bool
	player string
	n      int
	view   leaderboard.View
	err    error
}

// look reads a board as Top and Around do, and with it the time at which the server did.
func look(ctx context.Context, r *Records, rules *leaderboard.Rules, board string, random *rand.Rand) (s seen, err error) {
	what := []string{"top", "10000"} // more than are submitted
	if s.around = random.IntN(3) == 0; s.around {
		s.player, s.n = names[random.IntN(len(names))], random.IntN(3)
		what = []string{"around", strconv.Itoa(s.n), nameOf(s.player)}
	}
	incarnation, _ := r.book.known(rules, board)
	reply, err := r.insist(ctx, "read", readScript, rules, incarnation, board, what...)
	if err != nil {
		return s, err
	}
	clock := reply[len(reply)-1]
	switch reply[0] {
	case "OK":
		clock = reply[4]
		if s.view, err = viewOf(rules, reply); err != nil {
			return s, err
		}
	case "ABSENT":
		s.err = leaderboard.ErrNotThere
	case "BEYOND":
		s.err = leaderboard.ErrBeyond
	default:
		return s, fmt.Errorf("unexpected: %q", reply)
	}
	s.now, err = moment(clock)
	return s, err
}

// check holds a reading against the model.
func (s seen) check(rules *leaderboard.Rules, lines []leaderboard.Line) error {
	want := model.Ranking(rules, lines, s.now)
	if !s.around {
		return same(s.view.Entries, want)
	}
	i := slices.IndexFunc(want, func(e leaderboard.Entry) bool { return e.Player == s.player })
	switch {
	case i < 0 && errors.Is(s.err, leaderboard.ErrNotThere) && (rules.Top == 0 || len(want) < rules.Top || !cut(rules)),
		i < 0 && errors.Is(s.err, leaderboard.ErrBeyond) && len(want) == rules.Top:
		return nil
	case i < 0 || s.err != nil:
		return fmt.Errorf("around %q: %v, want place %d of %d", s.player, s.err, i+1, len(want))
	}
	return same(s.view.Entries, want[max(0, i-s.n):min(len(want), i+s.n+1)])
}

// cut reports whether only the first are kept, so that nobody knows who else is there.
func cut(r *leaderboard.Rules) bool {
	return r.Top > 0 && r.Aggregate != leaderboard.Sum && r.Aggregate != leaderboard.Last
}

func same(got, want []leaderboard.Entry) error {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i].Rank != want[i].Rank || got[i].Player != want[i].Player || got[i].Score != want[i].Score || !got[i].At.Equal(want[i].At) {
			return fmt.Errorf("place %d differs:\n got %s\nwant %s", i+1, show(got), show(want))
		}
	}
	return nil
}

func show(entries []leaderboard.Entry) (text string) {
	for _, e := range entries {
		text += fmt.Sprintf(" %d:%.12q=%v@%s", e.Rank, e.Player, e.Score, e.At.Format("05.000000"))
	}
	return text
}

// score is a random one: of few, so that many are equal, or of many, so that few are.
func score(rules *leaderboard.Rules, wide bool, random *rand.Rand) float64 {
	if wide {
		return float64(random.IntN(2_000_000) - 1_000_000)
	}
	some := []float64{-2, -1, 0, 1, 2, 3, 10}
	if rules.Aggregate != leaderboard.Sum {
		some = append(some, math.Copysign(0, -1), 0.1, -0.1, 1e-300, leaderboard.Exact, -leaderboard.Exact)
	}
	return some[random.IntN(len(some))]
}

func request(rules *leaderboard.Rules, board string, wide bool, random *rand.Rand) leaderboard.Request {
	q := leaderboard.Request{Board: board}
	for range 1 + random.IntN(3) {
		q.Submissions = append(q.Submissions, leaderboard.Submission{Player: names[random.IntN(len(names))], Score: score(rules, wide, random)})
	}
	if random.IntN(3) == 0 {
		q.Key, q.Print = fmt.Sprint(random.Uint64()), "print"
	}
	return q
}

// play has several clients of two instances submit to one board, and read it, for a while; then it holds all that was read, what was
// acknowledged, and what an archiver has taken meanwhile, against the model.
func play(t *testing.T, instances []*Records, rules *leaderboard.Rules, seed uint64, length time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	instances[0].late.Store((2 * time.Second).Microseconds()) // until it has learned better
	if _, err := instances[0].Empty(ctx, rules); err != nil {
		return err
	}
	if err := instances[0].Loaded(ctx, rules, ""); err != nil {
		return err
	}
	const board = "b"
	if _, _, err := instances[0].Submit(ctx, rules, leaderboard.Request{Board: board, Submissions: []leaderboard.Submission{{Player: "first", Score: 1}}}); err != nil {
		return err
	}
	for _, r := range instances { // which learns that the board is whole
		if _, err := r.Top(ctx, rules, board, 1); err != nil {
			return err
		}
	}
	type told struct {
		player string
		score  float64
	}
	var (
		mu       sync.Mutex
		acked    = map[told]int{{"first", 1}: 1}
		readings []seen
		failed   error
		writing  atomic.Int32
	)
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = errors.Join(failed, err)
	}
	ends := time.Now().Add(length)
	written := make(chan struct{}) // closed by the last that writes
	writing.Store(3)
	var all sync.WaitGroup
	for i := range 3 {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		r := instances[i%len(instances)]
		all.Go(func() {
			defer func() {
				if writing.Add(-1) == 0 {
					close(written)
				}
			}()
			for time.Now().Before(ends) {
				q := request(rules, board, seed/2%2 == 1, random)
				receipts, repeated, err := r.Submit(ctx, rules, q)
				if err != nil || repeated {
					fail(fmt.Errorf("submit: repeated %v, %w", repeated, err))
					return
				}
				mu.Lock()
				for _, s := range q.Submissions {
					acked[told{s.Player, s.Score}]++
				}
				mu.Unlock()
				if q.Key != "" {
					again, repeated, err := instances[(i+1)%len(instances)].Submit(ctx, rules, q)
					if err != nil || !repeated || !slices.Equal(again, receipts) {
						fail(fmt.Errorf("submit again: %v, %v, repeated %v, %w", receipts, again, repeated, err))
					}
				}
			}
		})
	}
	for i := range 2 {
		random := rand.New(rand.NewPCG(seed, uint64(10+i)))
		r := instances[i%len(instances)]
		all.Go(func() {
			for after := 0; after < 10; {
				if writing.Load() == 0 {
					after++ // while the window empties
				}
				s, err := look(ctx, r, rules, board, random)
				if err != nil {
					fail(err)
					return
				}
				mu.Lock()
				if len(readings) < 1000 || after > 0 {
					readings = append(readings, s)
				} else {
					readings[random.IntN(1000)] = s
				}
				mu.Unlock()
			}
		})
	}
	kept := archive{}
	if rules.Archived {
		all.Go(func() {
			if seed%2 == 1 { // the archive is late
				<-written
			}
			for {
				last := writing.Load() == 0
				owed, err := kept.take(ctx, instances[0], rules)
				if err != nil {
					fail(err)
					return
				}
				if last && owed == 0 {
					return
				}
			}
		})
	}
	all.Wait()
	if failed != nil {
		return failed
	}
	lines, err := instances[0].Lines(ctx, rules, board, "", 1<<30)
	if err != nil {
		return err
	}
	for _, l := range lines {
		acked[told{l.Submission.Player, l.Submission.Score}]--
	}
	for who, n := range acked {
		if n != 0 {
			return fmt.Errorf("%q with %v: %d acknowledged that are not there (or, below 0, were recorded more often)", who.player, who.score, n)
		}
	}
	for _, s := range readings {
		if err := s.check(rules, lines); err != nil {
			return fmt.Errorf("reading at %s after %d submissions: %w", s.now.Format("05.000000"), len(lines), err)
		}
	}
	t.Logf("%s: %d submissions, %d readings", rules.Route, len(lines), len(readings))
	return errors.Join(kept.check(rules, lines), bounded(ctx, instances[0], rules, board))
}

// bounded says what of a board takes more memory than its rules say: that nobody writes to, and of which the archive has everything.
func bounded(ctx context.Context, r *Records, rules *leaderboard.Rules, board string) error {
	client, err := r.options.Connection.Client()
	if err != nil {
		return err
	}
	base := r.board(rules, board)
	size := func(key string) int64 {
		var n int64
		var failed error
		if kind, _ := client.Do(ctx, client.B().Type().Key(base+key).Build()).ToString(); kind == "hash" {
			n, failed = client.Do(ctx, client.B().Hlen().Key(base+key).Build()).AsInt64()
		} else {
			n, failed = client.Do(ctx, client.B().Zcard().Key(base+key).Build()).AsInt64()
		}
		err = errors.Join(err, failed)
		return n
	}
	ranked := size("r")
	for key, most := range map[string]int64{"r": 1 << 30, "e": ranked, "x": ranked, "y": ranked, "o": 0} {
		if cut(rules) && key != "o" {
			most = min(most, int64(rules.Top))
		}
		if n := size(key); n > most {
			err = errors.Join(err, fmt.Errorf("%s has %d, want at most %d", key, n, most))
		}
	}
	buckets, failed := client.Do(ctx, client.B().Zrange().Key(base+"l").Min("0").Max("-1").Build()).AsStrSlice()
	err = errors.Join(err, failed)
	for _, start := range buckets {
		if n := max(size("b:"+start), size("h:"+start)); n > int64(rules.Top) {
			err = errors.Join(err, fmt.Errorf("bucket %s has %d", start, n))
		}
	}
	if len(buckets) > 0 && !cut(rules) {
		err = errors.Join(err, fmt.Errorf("%d buckets", len(buckets)))
	}
	return err
}

// archive is what was taken of buckets.
type archive map[leaderboard.Bucket]map[string]leaderboard.Member // by player, or submission where each stands for itself

// take takes what is owed, as an archiver does, and returns how much was.
func (a archive) take(ctx context.Context, r *Records, rules *leaderboard.Rules) (int, error) {
	owed, err := r.Owed(ctx, rules, 100)
	for _, b := range owed {
		name := b
		name.Closed = false
		a[name] = map[string]leaderboard.Member{}
		count := 0
		for {
			page, err := r.Members(ctx, rules, b, count, 7)
			if err != nil {
				return 0, err
			}
			if len(page) == 0 {
				break
			}
			for _, m := range page {
				a[name][m.Player+m.ID] = m
			}
			count += len(page)
		}
		if _, err := r.Archived(ctx, rules, b, count); err != nil {
			return 0, err
		}
	}
	return len(owed), err
}

// check holds it against the model: every submission is in one bucket, and each bucket is what the model makes of its own.
func (a archive) check(rules *leaderboard.Rules, lines []leaderboard.Line) error {
	if !rules.Archived {
		return nil
	}
	whole := *rules
	whole.Top, whole.Window = 0, leaderboard.Window{Span: leaderboard.AllTime}
	counted := 0
	for b, members := range a {
		var its []leaderboard.Line
		for _, l := range lines {
			if !l.At.Before(b.Start) && l.At.Before(b.End) {
				its = append(its, l)
			}
		}
		counted += len(its)
		want := model.Ranking(&whole, its, b.End)
		for _, w := range want {
			id := w.Player
			if rules.Aggregate == leaderboard.Every {
				id += lineID(w.At)
			}
			if m, ok := members[id]; !ok || m.Score != w.Score || !m.At.Equal(w.At) {
				return fmt.Errorf("archive of %v: %+v, want %+v", b, m, w)
			}
		}
		if len(want) != len(members) {
			return fmt.Errorf("archive of %v has %d members, want %d", b, len(members), len(want))
		}
	}
	if counted != len(lines) {
		return fmt.Errorf("%d submissions are in buckets of the archive, want %d", counted, len(lines))
	}
	return nil
}

// What several clients see of boards of every kind, while they are written to and windows slide, is what the rules make of every submission.
func TestAgainstModel(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	for _, program := range servers.ValkeyPrograms() {
		t.Run(program, func(t *testing.T) {
			v := servers.Valkey(t, servers.ValkeyOptions{Program: program})
			instances := []*Records{open(t, v), open(t, v)}
			instances[0].chunk = 2
			var all sync.WaitGroup
			for i, rules := range allRules(*length) {
				all.Go(func() {
					if err := play(t, instances, rules, *seed+uint64(i), *length); err != nil {
						t.Errorf("seed %d, %+v: %v", *seed, *rules, err)
					}
				})
			}
			all.Wait()
		})
	}
}
