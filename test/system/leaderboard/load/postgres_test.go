package load

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"cacheproxy/test/servers"
	"cacheproxy/test/system/bench"

	"github.com/jackc/pgx/v5"
)

var seeded = flag.Duration("alone-window", 10*time.Minute, "of which PostgreSQL alone shows the top")

// database is a connection to one.
type database struct{ *pgx.Conn }

func connect(t *testing.T, url string) database {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return database{conn}
}

// count is the number that a query answers.
func (d database) count(t *testing.T, sql string) (n int) {
	t.Helper()
	if err := d.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func (r *run) count(sql string) int { r.Helper(); return r.database.count(r.T, sql) }

// archived holds the archive against the model: each submission is there once, and each bucket is what its submissions come to.
func (r *run) archived() {
	began := time.Now()
	r.await("the archive", func() bool {
		return r.count("SELECT count(*) FROM leaderboard_archive.submission") >= r.model.acked && r.count("SELECT count(*) FROM leaderboard_archive.bucket WHERE NOT closed") == 0
	})
	r.Logf("the archive had everything %s after the last submission", time.Since(began).Round(time.Millisecond))
	rows, err := r.database.Query(context.Background(), "SELECT player, score::bigint, count(*) FROM leaderboard_archive.submission WHERE route = 'scores' AND board = 'chess' GROUP BY 1, 2")
	if err != nil {
		r.Fatal(err)
	}
	held, total := map[what]int{}, 0
	var w what
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&w.player, &w.score, &n}, func() error { held[w] += n; total += n; return nil }); err != nil {
		r.Fatal(err)
	}
	for w, n := range r.model.all {
		if held[w] < n {
			r.Errorf("%v was acknowledged %d times, and is in the archive %d times", w, n, held[w])
		}
	}
	if total > r.model.acked+r.model.unknown || total < r.model.acked {
		r.Errorf("%d submissions in the archive, %d were acknowledged, and of %d it is not known", total, r.model.acked, r.model.unknown)
	}
	const differ = `WITH best AS (
			SELECT b.starts AS bucket, s.player, max(s.score) AS score FROM leaderboard_archive.submission s
			JOIN leaderboard_archive.bucket b ON b.route = s.route AND b.board = s.board AND s.at >= b.starts AND s.at < b.ends GROUP BY 1, 2)
		SELECT count(*) FROM best FULL JOIN leaderboard_archive.score a USING (bucket, player) WHERE a.score IS DISTINCT FROM best.score`
	if n := r.count(differ); n > 0 {
		r.Errorf("%d scores of buckets are not what the submissions come to", n)
	}
	r.Logf("archive: %d submissions, %d acknowledged, %d unknown; %d scores in %d buckets", total, r.model.acked, r.model.unknown,
		r.count("SELECT count(*) FROM leaderboard_archive.score"), r.count("SELECT count(*) FROM leaderboard_archive.bucket"))
}

// postgresAlone has PostgreSQL by itself do what the proxy does with it and Valkey: a row for each submission, and the top of the window by a
// query, at the same rates; with one window of submissions there already.
func postgresAlone(t *testing.T) {
	dir, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := servers.StartPostgres(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	pool := make(chan *pgx.Conn, 32)
	for range cap(pool) {
		conn, err := pgx.Connect(t.Context(), server.URL())
		if err != nil {
			t.Fatal(err)
		}
		pool <- conn
	}
	use := func(do func(*pgx.Conn) error) error {
		conn := <-pool
		defer func() { pool <- conn }()
		return do(conn)
	}
	if err := use(func(conn *pgx.Conn) error {
		for _, sql := range []string{
			"CREATE TABLE score (player text NOT NULL, score bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())",
			fmt.Sprintf(`INSERT INTO score SELECT 'player-' || (random() * %d)::int, (random() * 1e6)::bigint, clock_timestamp() - random() * interval '%d seconds' FROM generate_series(1, %d)`,
				*players, int(seeded.Seconds()), int(seeded.Seconds())**writes),
			"CREATE INDEX ON score (at) INCLUDE (player, score)", "ANALYZE score", "VACUUM score",
		} {
			if _, err := conn.Exec(context.Background(), sql); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r := &run{T: t, latencies: map[string][]time.Duration{}}
	before, err := bench.CPUOfTree(server.PID())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	end := began.Add(*alone)
	timed := func(what string, do func(*pgx.Conn) error) {
		began := time.Now()
		if err := use(do); err != nil {
			r.fail(err)
		}
		r.took(what, time.Since(began))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.pace(*writes, end, func(int) {
			timed("submit", func(conn *pgx.Conn) error {
				_, err := conn.Exec(context.Background(), "INSERT INTO score (player, score) VALUES ($1, $2)", fmt.Sprintf("player-%d", rand.IntN(*players)), rand.Int64N(1_000_000))
				return err
			})
		})
	}()
	r.pace(*reads, end, func(int) {
		timed("read", func(conn *pgx.Conn) error {
			rows, err := conn.Query(context.Background(), fmt.Sprintf(`SELECT player, max(score) FROM score WHERE at > clock_timestamp() - interval '%d seconds' GROUP BY player ORDER BY 2 DESC LIMIT 100`, int(seeded.Seconds())))
			if err != nil {
				return err
			}
			rows.Close()
			return rows.Err()
		})
	})
	<-done
	lasted := time.Since(began)
	after, err := bench.CPUOfTree(server.PID())
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"submit", "read"} {
		all := r.latencies[what]
		t.Logf("%s: %d, %.0f a second; %s", what, len(all), float64(len(all))/lasted.Seconds(), percentiles(all))
	}
	t.Logf("a window of %s; turns missed: %d; CPU of PostgreSQL: %.1f %% of a core", *seeded, r.missed.Load(), 100*(after-before).Seconds()/lasted.Seconds())
	for _, err := range r.wrong {
		t.Error(err)
	}
}
