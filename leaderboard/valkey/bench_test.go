package valkey

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/test/servers"
)

// boards are the rules that benchmarks come by.
func benchRules() map[string]*leaderboard.Rules {
	day := leaderboard.Window{Length: 24 * time.Hour, Bucket: time.Minute}
	all := map[string]*leaderboard.Rules{
		"best, 100 ranks":           {Top: 100},
		"best, 100 ranks, archived": {Top: 100, Archived: true},
		"best, all ranks":           {},
		"sum":                       {Aggregate: leaderboard.Sum},
		"last":                      {Aggregate: leaderboard.Last},
		"submissions, 100 ranks":    {Aggregate: leaderboard.Every, Top: 100},
	}
	for name, r := range all {
		r.Route, r.MaxBoards, r.Window = name, 10, day
	}
	return all
}

const benchPlayers = 30_000

func player(i int) string { return "player-" + strconv.Itoa(100_000+i) }

// busy is how many µs of processor time the server has taken. Other programs make those by the clock more, not these.
func busy(b *testing.B, v *servers.ValkeyServer) (us float64) {
	b.Helper()
	info, err := v.CLI(b.Context(), "INFO", "cpu")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(info) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), ":"); key {
		case "used_cpu_sys", "used_cpu_user":
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			us += seconds * 1e6
		}
	}
	return us
}

// A submission of one of 30,000 players with scores of any height: the server's time for each, and how many it takes in a second.
func BenchmarkBoardSubmit(b *testing.B) {
	rules := benchRules()
	synced := *rules["best, 100 ranks"]
	synced.Durability = leaderboard.Synced
	for _, c := range []struct {
		name    string
		rules   *leaderboard.Rules
		batch   int
		clients int
		args    []string
	}{
		{"best, 100 ranks", rules["best, 100 ranks"], 1, 64, nil},
		{"best, 100 ranks, on disk", rules["best, 100 ranks"], 1, 64, []string{"--appendonly", "yes"}},
		{"best, 100 ranks, durability fsync", &synced, 1, 2048, []string{"--appendonly", "yes"}},
		{"best, 100 ranks, archived", rules["best, 100 ranks, archived"], 1, 64, nil},
		{"best, 100 ranks, 100 in a call", rules["best, 100 ranks"], 100, 16, nil},
		{"best, all ranks", rules["best, all ranks"], 1, 64, nil},
		{"sum", rules["sum"], 1, 64, nil},
		{"last", rules["last"], 1, 64, nil},
		{"submissions, 100 ranks", rules["submissions, 100 ranks"], 1, 64, nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			v := servers.Valkey(b, servers.ValkeyOptions{Args: c.args})
			r := open(b, v)
			var clients atomic.Uint64
			before := busy(b, v)
			b.SetParallelism(c.clients)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				random := rand.New(rand.NewPCG(1, clients.Add(1)))
				for pb.Next() {
					q := leaderboard.Request{Board: "b"}
					for range c.batch {
						q.Submissions = append(q.Submissions, leaderboard.Submission{Player: player(random.IntN(benchPlayers)), Score: float64(random.IntN(1_000_000))})
					}
					if _, _, err := r.Submit(context.Background(), c.rules, q); err != nil {
						b.Error(err)
						return
					}
				}
			})
			count := float64(b.N * c.batch)
			b.ReportMetric((busy(b, v)-before)/count, "server-µs/submission")
			b.ReportMetric(count/b.Elapsed().Seconds(), "submissions/s")
		})
	}
}

// A window of a day that is full: 1,440 buckets, each with as many players as are kept. What a reading costs, and what it costs to slide.
func BenchmarkBoardRead(b *testing.B) {
	rules := benchRules()["best, 100 ranks"]
	v := servers.Valkey(b, servers.ValkeyOptions{})
	r := open(b, v)
	fill(b, r, rules, 1440, 100)
	if _, err := r.Top(b.Context(), rules, "b", 100); err != nil { // the ranking is made
		b.Fatal(err)
	}
	measure := func(name string, do func() error) {
		b.Run(name, func(b *testing.B) {
			before := busy(b, v)
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((busy(b, v)-before)/float64(b.N), "server-µs/reading")
		})
	}
	measure("top 100", func() error { _, err := r.Top(b.Context(), rules, "b", 100); return err })
	measure("top 10", func() error { _, err := r.Top(b.Context(), rules, "b", 10); return err })
	v100, err := r.Top(b.Context(), rules, "b", 100)
	if err != nil || len(v100.Entries) != 100 {
		b.Fatal(len(v100.Entries), err)
	}
	measure("around", func() error { _, err := r.Around(b.Context(), rules, "b", v100.Entries[50].Player, 5); return err })
	client, err := r.options.Connection.Client()
	if err != nil {
		b.Fatal(err)
	}
	for _, top := range []int{100, 1000, 10_000} {
		more := *rules
		more.Top = top
		measure(fmt.Sprintf("slide, %d ranks", top), func() error {
			if err := client.Do(b.Context(), client.B().Hset().Key(r.board(rules, "b")+"m").FieldValue().FieldValue("d", "1").Build()).Error(); err != nil {
				return err
			}
			_, err := r.Top(b.Context(), &more, "b", 1)
			return err
		})
	}
}

// fill puts players into the buckets before this one.
func fill(b *testing.B, r *Records, rules *leaderboard.Rules, buckets, players int) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	now := rules.BucketOf(time.Now())
	for i := range buckets {
		at := now
		at.Board, at.Closed = "b", true
		at.Start, at.End = at.Start.Add(-time.Duration(i)*rules.Window.Bucket), at.End.Add(-time.Duration(i)*rules.Window.Bucket)
		var members []leaderboard.Member
		for j, p := range random.Perm(benchPlayers)[:players] {
			members = append(members, leaderboard.Member{Player: player(p), Score: float64(random.IntN(1_000_000)), At: at.Start.Add(time.Duration(j) * time.Microsecond)})
		}
		if err := r.Load(b.Context(), rules, at, members); err != nil {
			b.Fatal(err)
		}
	}
}

// What a board takes of memory, for each of its players (14 bytes of name) and for each bucket that is kept.
func BenchmarkBoardMemory(b *testing.B) {
	measured := func(name, unit string, by int, do func(b *testing.B, r *Records)) {
		b.Run(name, func(b *testing.B) {
			v := servers.Valkey(b, servers.ValkeyOptions{})
			r := open(b, v)
			used := func() float64 {
				info, err := v.CLI(b.Context(), "INFO", "memory")
				if err != nil {
					b.Fatal(err)
				}
				_, rest, _ := strings.Cut(info, "\nused_memory_dataset:")
				n, err := strconv.ParseFloat(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]), 64)
				if err != nil {
					b.Fatal(err)
				}
				return n
			}
			before, after := used(), 0.0
			for b.Loop() {
				if after == 0 { // once is enough
					do(b, r)
					after = used()
				}
			}
			b.ReportMetric((after-before)/float64(by), unit)
		})
	}
	all := benchRules()
	submitted := func(rules *leaderboard.Rules, each int) func(b *testing.B, r *Records) {
		return func(b *testing.B, r *Records) {
			for range each {
				for i := 0; i < benchPlayers; i += 100 {
					q := leaderboard.Request{Board: "b"}
					for j := range 100 {
						q.Submissions = append(q.Submissions, leaderboard.Submission{Player: player(i + j), Score: float64(rand.IntN(1_000_000))})
					}
					if _, _, err := r.Submit(b.Context(), rules, q); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
	}
	measured("best, all ranks", "B/player", benchPlayers, submitted(all["best, all ranks"], 1))
	measured("sum", "B/player", benchPlayers, submitted(all["sum"], 1))
	measured("last", "B/player", benchPlayers, submitted(all["last"], 1))
	every := *all["submissions, 100 ranks"]
	every.Top = 0
	measured("submissions, all ranks", "B/submission", benchPlayers, submitted(&every, 1))
	measured("bucket that waits for the archive", "B/player", benchPlayers, submitted(all["best, 100 ranks, archived"], 1))
	stream := *all["best, 100 ranks"]
	stream.Submitted = true
	measured("submissions for the archive", "B/submission", benchPlayers, submitted(&stream, 1))
	measured("bucket that is cut to 100", "B/bucket", 1440, func(b *testing.B, r *Records) { fill(b, r, all["best, 100 ranks"], 1440, 100) })
	more := *all["best, 100 ranks"]
	more.Top = 1000
	measured("bucket that is cut to 1000", "B/bucket", 100, func(b *testing.B, r *Records) { fill(b, r, &more, 100, 1000) })
	parts := *all["sum"]
	parts.Window.Length, parts.Window.Bucket = time.Hour, 50*time.Millisecond
	measured("sums in several buckets", "B/player", benchPlayers, submitted(&parts, 4))
	keyed := *all["best, 100 ranks"]
	keyed.Repeats = time.Hour
	measured("idempotency keys", "B/key", 10_000, func(b *testing.B, r *Records) {
		for i := range 10_000 {
			q := leaderboard.Request{Board: "b", Key: fmt.Sprint(i), Print: "p", Submissions: []leaderboard.Submission{{Player: "p", Score: 1}}}
			if _, _, err := r.Submit(b.Context(), &keyed, q); err != nil {
				b.Fatal(err)
			}
		}
	})
}
