package archive

import (
	"fmt"
	"testing"
	"time"

	"cacheproxy/leaderboard"
)

// BenchmarkBucket archives a bucket of as many players as submit in a minute at 500 a second, for the first time and again as it is.
func BenchmarkBucket(b *testing.B) {
	d := newDatabase(b)
	r := rules(leaderboard.Best)
	r.Submitted = false
	s := newRecords(noon())
	a := d.archiver(s, Route{Rules: r})
	d.mustLook(a)
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%t", again), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				if !again {
					d.do("TRUNCATE leaderboard_archive.score, leaderboard_archive.bucket")
				}
				for i := range 30_000 {
					s.submit(r, "chess", fmt.Sprintf("player-%d", i), float64(i%1000))
				}
				b.StartTimer()
				d.mustLook(a)
			}
		})
	}
	// What a window of 24 hours is read back from, but with twenty of its buckets.
	b.Run("read back", func(b *testing.B) {
		d.do("TRUNCATE leaderboard_archive.score, leaderboard_archive.bucket",
			`INSERT INTO leaderboard_archive.bucket SELECT 'scores', 'chess', t, t + interval '1 minute', 30000, true, now()
				FROM generate_series(date_trunc('minute', now()) - interval '20 minutes', now() - interval '1 minute', interval '1 minute') t`,
			`INSERT INTO leaderboard_archive.score SELECT route, board, starts, 'player-' || i, '', i % 1000, starts + i * interval '1 millisecond'
				FROM leaderboard_archive.bucket, generate_series(1, 30000) i ORDER BY starts, random()`, "ANALYZE leaderboard_archive.score",
			`INSERT INTO leaderboard_archive.board VALUES ('scores', 'chess', 0, now()) ON CONFLICT DO NOTHING`)
		r.Top = 100
		for range b.N {
			s.restore(nil)
			began := time.Now()
			if err := a.look(b.Context())(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(time.Since(began).Milliseconds())/20, "ms/bucket")
			if n := len(s.content(r, "chess")); n != 2000 {
				b.Fatalf("%d members are read back", n)
			}
		}
	})
}
