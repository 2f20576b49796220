package postgres

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/policy"
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
		return servers.StartPostgres(ctx, dir, "wal_level=logical", "max_prepared_transactions=10")
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

// database is a database of a test's own.
type database struct {
	tb  testing.TB
	url string
	*pgx.Conn
}

func newDatabase(tb testing.TB, sql ...string) *database {
	tb.Helper()
	server, err := theServer()
	if err != nil {
		tb.Fatal(err)
	}
	name := fmt.Sprintf("test%d", databases.Add(1))
	admin := &database{tb, server.URL(), connect(tb, server.URL())}
	admin.do("CREATE DATABASE " + name)
	d := &database{tb: tb, url: strings.Replace(server.URL(), "/postgres?", "/"+name+"?", 1)}
	d.Conn = connect(tb, d.url)
	d.do(sql...)
	return d
}

func connect(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	c, err := ParseURL(url, "")
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(context.Background(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// session is another connection, perhaps of another role.
func (d *database) session(role string) *database {
	d.tb.Helper()
	other := &database{d.tb, d.url, connect(d.tb, d.url)}
	if role != "" {
		other.do("SET SESSION AUTHORIZATION " + identifier(role))
	}
	return other
}

func (d *database) do(sql ...string) {
	d.tb.Helper()
	for _, s := range sql {
		if _, err := d.Exec(context.Background(), s, simple); err != nil {
			d.tb.Fatalf("%s: %v", s, err)
		}
	}
}

// one is the single value of a query.
func one[T any](d *database, sql string) (value T) {
	d.tb.Helper()
	if err := d.QueryRow(context.Background(), sql).Scan(&value); err != nil {
		d.tb.Fatalf("%s: %v", sql, err)
	}
	return value
}

// install installs mappings, and takes away what that has put into the outbox.
func (d *database) install(mappings ...*Mapping) {
	d.tb.Helper()
	d.installAs(&Installation{Mappings: mappings})
}

func (d *database) installAs(want *Installation) {
	d.tb.Helper()
	if _, err := want.Install(context.Background(), d.Conn); err != nil {
		d.tb.Fatal(err)
	}
	d.taken()
}

// taken are the rows of the outbox, in words and sorted, which are then gone: the tuples, or the cause.
func (d *database) taken() (rows []string) {
	d.tb.Helper()
	all, err := list(context.Background(), d.Conn, "WITH gone AS (DELETE FROM cacheproxy.outbox RETURNING *) SELECT width, tuples, coalesce(cause, '') AS cause, id, mapping FROM gone ORDER BY id",
		pgx.RowToStructByName[struct {
			Width   int
			Tuples  []*string
			Cause   string
			ID      int64
			Mapping string
		}])
	if err != nil {
		d.tb.Fatal(err)
	}
	for _, r := range all {
		if r.Tuples == nil || r.Cause != "" {
			rows = append(rows, r.Cause)
			continue
		}
		if r.Width == 0 {
			rows = append(rows, "()")
			continue
		}
		var tuples []string
		for tuple := range slices.Chunk(r.Tuples, r.Width) {
			var values []string
			for _, v := range tuple {
				if v == nil {
					values = append(values, "NULL")
				} else {
					values = append(values, *v)
				}
			}
			tuples = append(tuples, strings.Join(values, "|"))
		}
		slices.Sort(tuples)
		rows = append(rows, strings.Join(tuples, " "))
	}
	return rows
}

// expect holds what statements put into the outbox against what they should.
func (d *database) expect(want []string, sql ...string) {
	d.tb.Helper()
	d.do(sql...)
	if got := d.taken(); !slices.Equal(got, want) {
		d.tb.Errorf("%s\ngot  %q\nwant %q", strings.Join(sql, "; "), got, want)
	}
}

// mapping is one of a table in public, by its tags.
func mapping(table string, tags ...string) *Mapping {
	m := &Mapping{Schema: "public", Table: table, On: []Event{Insert, Update, Delete, Truncate}, Names: &policy.Invalidates{}, Line: 7}
	for _, tag := range tags {
		t, err := policy.ParseTemplate(tag)
		if err != nil {
			panic(err)
		}
		m.Names.Tags = append(m.Names.Tags, t)
		for _, p := range t.Placeholders() {
			if !slices.Contains(m.Columns, p.Name) {
				m.Columns = append(m.Columns, p.Name)
			}
		}
	}
	m.Identify()
	return m
}

// watching is the mapping with columns that it looks at.
func (m *Mapping) watching(columns ...string) *Mapping {
	m.Watched = columns
	m.Identify()
	return m
}

// simple runs several statements at once.
const simple = pgx.QueryExecModeSimpleProtocol
