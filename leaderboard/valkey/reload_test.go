package valkey

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/test/servers"
)

// reloaded is a board whose server loses it.
type reloaded struct {
	rules  *leaderboard.Rules
	random *rand.Rand
	kept   archive
	lines  map[string]leaderboard.Line // by ID: every one that was acknowledged
}

// write submits some, and notes what the records say of them.
func (b *reloaded) write(t *testing.T, r *Records, n int) error {
	for range n {
		q := request(b.rules, "b", b.random.IntN(2) == 0, b.random)
		if _, _, err := r.Submit(t.Context(), b.rules, q); err != nil {
			return err
		}
	}
	return nil
}

func (b *reloaded) note(t *testing.T, r *Records) error {
	lines, err := r.Lines(t.Context(), b.rules, "b", "", 1<<30)
	for _, l := range lines {
		b.lines[l.ID] = l
	}
	return err
}

// load gives back what the archive has, in parts, and all of it more than once.
func (b *reloaded) load(t *testing.T, r *Records) error {
	for range 2 {
		for bucket, members := range b.kept {
			var page []leaderboard.Member
			bucket.Closed = true
			give := func() error {
				err := r.Load(t.Context(), b.rules, bucket, page)
				page = nil
				return err
			}
			for _, m := range members {
				if page = append(page, m); len(page) == 5 {
					if err := give(); err != nil {
						return err
					}
				}
			}
			if err := give(); err != nil {
				return err
			}
		}
	}
	return nil
}

// each does the same with all boards at once.
func each(t *testing.T, what string, boards []*reloaded, do func(*reloaded) error) {
	t.Helper()
	var all sync.WaitGroup
	for _, b := range boards {
		all.Go(func() {
			if err := do(b); err != nil {
				t.Errorf("seed %d, %s, %+v: %v", *seed, what, *b.rules, err)
			}
		})
	}
	if all.Wait(); t.Failed() {
		t.FailNow()
	}
}

// What a server has lost, all of it or the last of it, is there again once the archive has given it back, with what was submitted meanwhile.
func TestReload(t *testing.T) {
	programs := servers.ValkeyPrograms()
	if raceEnabled {
		programs = programs[:1]
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	for _, program := range programs {
		for _, how := range []string{"lost", "went back"} {
			t.Run(program+"/"+how, func(t *testing.T) { reload(t, program, how == "lost") })
		}
	}
}

func reload(t *testing.T, program string, lost bool) {
	v := servers.Valkey(t, servers.ValkeyOptions{Program: program})
	r := open(t, v)
	cli := func(args ...string) {
		t.Helper()
		if out, err := v.CLI(t.Context(), args...); err != nil {
			t.Fatal(out, err)
		}
	}
	var boards []*reloaded
	for i, rules := range allRules(*length) {
		if rules.Archived {
			if rules.Window.Span == leaderboard.Rolling {
				rules.Window.Length = 8 * time.Second
			} else if rules.Window.Span == leaderboard.Day {
				rules.Window.Location = nil // its end comes in another test
			}
			boards = append(boards, &reloaded{rules: rules, random: rand.New(rand.NewPCG(*seed, uint64(i))), kept: archive{}, lines: map[string]leaderboard.Line{}})
		}
	}
	take := func(b *reloaded) error {
		_, err := b.kept.take(t.Context(), r, b.rules)
		return errors.Join(err, b.note(t, r))
	}
	each(t, "begin", boards, func(b *reloaded) error {
		if empty, err := r.Empty(t.Context(), b.rules); err != nil || !empty {
			return fmt.Errorf("empty: %v, %w", empty, err)
		}
		return errors.Join(r.Loaded(t.Context(), b.rules, ""), b.write(t, r, 8), take(b), b.write(t, r, 8), take(b))
	})
	if !lost {
		cli("SAVE")
	}
	marks := map[string]int64{}
	each(t, "go on", boards, func(b *reloaded) error { return errors.Join(b.write(t, r, 8), take(b), b.write(t, r, 4), take(b)) })
	for _, b := range boards {
		mark, err := r.Mark(t.Context(), b.rules, "b", 0)
		if marks[b.rules.Route] = mark; err != nil {
			t.Fatal(err)
		}
	}
	if lost {
		cli("FLUSHALL")
	} else {
		v.Kill()
		if err := v.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Until the client has found the server again, and the buckets are over that were open: of a sum in one of them, to which something
		// comes before it is known that the records went back, the later one counts.
		for over := time.Now().Add(boards[0].rules.Window.Bucket); ; {
			if _, err := r.Boards(t.Context(), boards[0].rules); err == nil && time.Now().After(over) {
				break
			} else if t.Context().Err() != nil {
				t.Fatal(err)
			}
		}
	}
	each(t, "notice", boards, func(b *reloaded) error {
		for range 2 { // which changes nothing
			if mark, err := r.Mark(t.Context(), b.rules, "b", marks[b.rules.Route]); !errors.Is(err, leaderboard.ErrWentBack) {
				return fmt.Errorf("mark %d after %d, %w", mark, marks[b.rules.Route], err)
			}
		}
		if err := b.write(t, r, 3); err != nil { // before anybody has noticed
			return err
		}
		if _, err := r.Top(t.Context(), b.rules, "b", 5); lost && !errors.Is(err, leaderboard.ErrLoading) {
			return fmt.Errorf("read of what was lost: %w", err)
		}
		if _, err := r.Owed(t.Context(), b.rules, 5); lost && !errors.Is(err, leaderboard.ErrLoading) {
			return fmt.Errorf("archive of what was lost: %w", err)
		}
		if empty, err := r.Empty(t.Context(), b.rules); err != nil || empty != lost {
			return fmt.Errorf("empty: %v, %w", empty, err)
		}
		return nil
	})
	each(t, "load", boards, func(b *reloaded) error {
		var loading, writing error
		var all sync.WaitGroup
		all.Go(func() { loading = errors.Join(b.load(t, r), r.Loaded(t.Context(), b.rules, "")) })
		all.Go(func() { writing = b.write(t, r, 3) })
		all.Wait()
		return errors.Join(loading, writing, b.note(t, r))
	})
	each(t, "check", boards, func(b *reloaded) error {
		var lines []leaderboard.Line
		for _, l := range b.lines {
			lines = append(lines, l)
		}
		slices.SortFunc(lines, func(a, b leaderboard.Line) int { return a.At.Compare(b.At) })
		for until := time.Now().Add(*length); time.Now().Before(until); {
			if _, err := r.Top(t.Context(), b.rules, "b", 1); err != nil {
				return err
			}
			s, err := look(t.Context(), r, b.rules, "b", b.random)
			if err == nil {
				err = s.check(b.rules, lines)
			}
			if err != nil {
				return fmt.Errorf("%d submissions: %w", len(lines), err)
			}
		}
		return nil
	})
}

// What a submission comes to is not made up of what is there while a board is read back, and a repetition gets no other answer.
func TestReceiptsWhileReadBack(t *testing.T) {
	r := open(t, servers.Valkey(t, servers.ValkeyOptions{}))
	for _, aggregate := range []leaderboard.Aggregate{leaderboard.Best, leaderboard.Sum, leaderboard.Last, leaderboard.Every} {
		rules := daily(10)
		rules.Route, rules.Aggregate, rules.Archived, rules.Repeats = fmt.Sprint("receipts", aggregate), aggregate, true, time.Hour
		give := func(key string) leaderboard.Receipt {
			t.Helper()
			receipts, _, err := r.Submit(t.Context(), rules, leaderboard.Request{Board: "b", Key: key, Print: "p", Submissions: one("ann", 1)})
			if err != nil {
				t.Fatal(err)
			}
			return receipts[0]
		}
		if _, err := r.Empty(t.Context(), rules); err != nil {
			t.Fatal(err)
		}
		unknown := leaderboard.Receipt{Player: "ann", Loading: true}
		if first, again := give("k"), give("k"); first != unknown || again != unknown {
			t.Errorf("aggregate %v, while it is read back: %+v, then %+v", aggregate, first, again)
		}
		if err := r.Loaded(t.Context(), rules, ""); err != nil {
			t.Fatal(err)
		}
		rank := int64(1)
		if aggregate == leaderboard.Every { // what came before stands first
			rank = 2
		}
		if then := give("other"); then.Rank != rank || then.Score < 1 || then.Loading {
			t.Errorf("aggregate %v, once it is there: %+v", aggregate, then)
		}
	}
}
