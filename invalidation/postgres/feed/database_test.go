package feed

import (
	"context"
	"testing"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/policy"
	"cacheproxy/test/servers"

	"github.com/jackc/pgx/v5"
)

// product is the mapping of the tests: a product's tag and its category's.
func product() *postgres.Mapping {
	m := &postgres.Mapping{
		Schema: "public", Table: "product", Names: &policy.Invalidates{}, Columns: []string{"id", "category"},
		On: []postgres.Event{postgres.Insert, postgres.Update, postgres.Delete, postgres.Truncate},
	}
	for _, tag := range []string{"product:{id}", "category:{category}"} {
		t, err := policy.ParseTemplate(tag)
		if err != nil {
			panic(err)
		}
		m.Names.Tags = append(m.Names.Tags, t)
	}
	m.Identify()
	return m
}

// database is a PostgreSQL server with products, of which changes are told.
func database(t testing.TB, settings ...string) (url string) {
	t.Helper()
	url = servers.Postgres(t, settings...)
	install(t, dial(t, url), product())
	return url
}

func install(t testing.TB, conn *pgx.Conn, m *postgres.Mapping) {
	t.Helper()
	do(t, conn, "create table if not exists product(id int primary key, category int not null default 0, name text)")
	if _, err := (&postgres.Installation{Mappings: []*postgres.Mapping{m}}).Install(context.Background(), conn); err != nil {
		t.Fatal(err)
	}
	do(t, conn, "delete from cacheproxy.outbox")
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
