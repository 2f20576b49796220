package feed

import (
	"context"
	"testing"
	"time"

	"cacheproxy/test/servers"

	"github.com/jackc/pgx/v5"
)

// objects are what an installation has made (package postgres).
const objects = `
create schema cacheproxy;
create table cacheproxy.outbox(id bigint generated always as identity, mapping text not null, width int, tuples text[], cause text,
	at timestamptz not null default clock_timestamp(), xid xid8 not null default pg_current_xact_id(), primary key (xid, id));
create table cacheproxy.marker(mapping text primary key, owed regclass not null, lossy bool not null default false, at timestamptz default now());
create sequence cacheproxy.consumed minvalue 0;
create sequence cacheproxy.lost minvalue 0;
create sequence cacheproxy.owed_1 minvalue 0;
`

// database is a PostgreSQL server with the objects.
func database(t testing.TB) (url string) {
	t.Helper()
	url = servers.Postgres(t)
	do(t, dial(t, url), objects)
	return url
}

// dial connects for as long as the test runs.
func dial(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func do(t testing.TB, conn interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, sql string, args ...any) {
	t.Helper()
	if len(args) == 0 {
		args = []any{pgx.QueryExecModeSimpleProtocol}
	}
	rows, err := conn.Query(context.Background(), sql, args...)
	if err == nil {
		rows.Close()
		err = rows.Err()
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
