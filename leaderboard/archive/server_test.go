package archive

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/leaderboard"
	"cacheproxy/test/servers"

	"github.com/jackc/pgx/v5"
)

var (
	serverDir string
	theServer = sync.OnceValues(func() (*servers.PostgresServer, error) {
		dir, err := os.MkdirTemp("", "postgres-")
		if err != nil {
			return nil, err
		}
		serverDir = dir
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return servers.StartPostgres(ctx, dir)
	})
	databases atomic.Int32
)

func TestMain(m *testing.M) {
	code := m.Run()
	if serverDir != "" {
		if server, err := theServer(); err == nil {
			_ = server.Stop()
		}
		_ = os.RemoveAll(serverDir)
	}
	os.Exit(code)
}

// database is a database of a test's own, with the archive and a role that has no more than install gives it.
type database struct {
	tb  testing.TB
	url string // of the superuser
	*pgx.Conn
	role string

	unchecked bool // looks do not ask boards to which nothing comes
}

const password = "hunter2"

func bareDatabase(tb testing.TB) *database {
	tb.Helper()
	server, err := theServer()
	if err != nil {
		tb.Fatal(err)
	}
	n := databases.Add(1)
	name := fmt.Sprintf("test%d", n)
	admin := &database{tb: tb, Conn: connect(tb, server.URL())}
	admin.do("CREATE DATABASE " + name)
	d := &database{tb: tb, url: strings.Replace(server.URL(), "/postgres?", "/"+name+"?", 1), role: fmt.Sprintf("archiver%d", n)}
	d.Conn = connect(tb, d.url)
	d.do("CREATE ROLE " + d.role + " LOGIN PASSWORD '" + password + "'")
	return d
}

func newDatabase(tb testing.TB) *database {
	tb.Helper()
	d := bareDatabase(tb)
	if _, err := d.want().Install(context.Background(), d.Conn); err != nil {
		tb.Fatal(err)
	}
	return d
}

func (d *database) want() *postgres.Installation {
	return &postgres.Installation{Consumer: d.role, Parts: []postgres.Part{Layout{}}}
}

func connect(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (d *database) do(sql ...string) {
	d.tb.Helper()
	for _, s := range sql {
		if _, err := d.Exec(context.Background(), s); err != nil {
			d.tb.Fatalf("%s: %v", s, err)
		}
	}
}

func one[T any](d *database, sql string, args ...any) (value T) {
	d.tb.Helper()
	if err := d.QueryRow(context.Background(), sql, args...).Scan(&value); err != nil {
		d.tb.Fatalf("%s: %v", sql, err)
	}
	return value
}

// source is where the archiver's role connects.
func (d *database) source() (*pgx.ConnConfig, error) {
	c, err := postgres.ParseURL(d.url, "")
	if err == nil {
		c.User, c.Password = d.role, password
	}
	return c, err
}

// archiver is one that passes at once whenever it looks.
func (d *database) archiver(s leaderboard.Source, routes ...Route) *Archiver {
	a := New(Options{Config: Config{Source: d.source, Routes: routes}, Records: s, Log: slog.New(slog.DiscardHandler)})
	a.every = time.Nanosecond
	d.tb.Cleanup(a.hangUp)
	return a
}

// due has everything be due at the next look.
func (d *database) due(a *Archiver) {
	for _, r := range a.config.Load().Routes {
		p := a.progress(r.Rules.Route)
		p.look, p.pass, p.check, p.retain = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		if d.unchecked {
			p.check = time.Now().Add(time.Hour)
		}
	}
}

// looks has an archiver look, whatever was due when.
func (d *database) looks(a *Archiver) error {
	d.due(a)
	// What was taken a moment ago is taken again.
	d.do("UPDATE leaderboard_archive.bucket SET archived = archived - interval '1 minute'")
	return a.look(context.Background())()
}

func (d *database) mustLook(a *Archiver) {
	d.tb.Helper()
	if err := d.looks(a); err != nil {
		d.tb.Fatal(err)
	}
}

// scores is what the archive has of a board, by bucket, player and ID as records.content has it.
func (d *database) scores(r *leaderboard.Rules, board string) map[string]leaderboard.Member {
	d.tb.Helper()
	rows, err := d.Query(context.Background(), `SELECT extract(epoch FROM bucket)::bigint, player, id, score, at FROM leaderboard_archive.score WHERE route = $1 AND board = $2`, r.Route, board)
	if err != nil {
		d.tb.Fatal(err)
	}
	all := map[string]leaderboard.Member{}
	var start int64
	var m leaderboard.Member
	if _, err := pgx.ForEachRow(rows, []any{&start, &m.Player, &m.ID, &m.Score, &m.At}, func() error {
		all[fmt.Sprint(start, memberKey{m.Player, m.ID})] = m
		return nil
	}); err != nil {
		d.tb.Fatal(err)
	}
	return all
}

// same holds what the archive has against what it should.
func same(t *testing.T, what string, got, want map[string]leaderboard.Member) {
	t.Helper()
	for k, w := range want {
		if g, there := got[k]; !there || g.Score != w.Score || !g.At.Equal(w.At) {
			t.Errorf("%s: %s: got %v, want %v", what, k, g, w)
		}
	}
	for k, g := range got {
		if _, there := want[k]; !there {
			t.Errorf("%s: %s is %v, and should not be there", what, k, g)
		}
	}
}

func rules(aggregate leaderboard.Aggregate) *leaderboard.Rules {
	return &leaderboard.Rules{
		Route: "scores", Aggregate: aggregate, Window: leaderboard.Window{Length: 24 * time.Hour, Bucket: time.Minute}, Archived: true, Submitted: true,
	}
}
