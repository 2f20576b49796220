package feed

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/test/servers"

	"github.com/jackc/pgx/v5"
)

// folder is one that any user may enter, as long as the test runs.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestFailover kills a server under load, and a standby that had every acknowledged change takes its place: each of these is purged.
func TestFailover(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	primary, err := servers.StartPostgres(ctx, folder(t), "synchronous_commit=remote_apply", "wal_keep_size=64MB")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = primary.Stop() }()
	conn := dial(t, primary.URL())
	install(t, conn, product())
	standby, err := primary.Standby(ctx, folder(t), "synchronous_commit=on")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = standby.Stop() }()
	do(t, conn, "alter system set synchronous_standby_names = '*'")
	do(t, conn, "select pg_reload_conf()")
	hosts := func(of *servers.PostgresServer) string {
		_, rest, _ := strings.Cut(of.URL(), "@")
		host, _, _ := strings.Cut(rest, "/")
		return host
	}
	// The first that is tried is the one that takes no writes.
	both := strings.Replace(primary.URL(), hosts(primary), hosts(standby)+","+hosts(primary), 1)
	c := consume(t, both, nil)
	c.clear()

	acknowledged, purged := map[string]bool{}, map[string]bool{}
	note := func() {
		for _, m := range c.log.taken() {
			purged[m] = true
		}
	}
	var writer *pgx.Conn
	id := 0
	write := func(n int) {
		t.Helper()
		for want := len(acknowledged) + n; len(acknowledged) < want; note() {
			if ctx.Err() != nil {
				t.Fatal("no server takes changes")
			}
			if writer == nil || writer.IsClosed() {
				source, err := postgres.ParseURL(both, "")
				if err != nil {
					t.Fatal(err)
				}
				writer, err = connect(ctx, func() (*pgx.ConnConfig, error) { return source, nil })
				if err != nil {
					continue
				}
			}
			id++
			if _, err := writer.Exec(ctx, "insert into product values ($1, 0)", id); err == nil {
				acknowledged[fmt.Sprintf("tag:product:%d", id)] = true
			}
		}
	}
	write(300)
	primary.Kill()
	do(t, dial(t, standby.URL()), "select pg_promote()")
	write(300)
	after := dial(t, standby.URL())
	until(t, func() bool { return rows(t, after) == 0 })
	c.stop()
	note()
	for m := range acknowledged {
		if !purged[m] {
			t.Errorf("%s was acknowledged and not purged", m)
		}
	}
	t.Logf("%d of %d changes were acknowledged, state %+v", len(acknowledged), id, c.State())
}
