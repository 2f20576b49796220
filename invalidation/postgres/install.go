package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// lockTimeout is how long an install waits for whoever is changing a table: everybody who comes later waits behind it.
const lockTimeout = "5s"

// Begin are the statements that a plan begins with, in its transaction. One install waits for another.
func Begin() []string {
	return []string{"BEGIN", "SET LOCAL lock_timeout = '" + lockTimeout + "'", "SET LOCAL search_path = ''", "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('cacheproxy.installation'))"}
}

// Install brings the database to what is wanted, in one transaction, and says what it did.
func (want *Installation) Install(ctx context.Context, conn *pgx.Conn) ([]Step, error) {
	return run(ctx, conn, want.Plan)
}

// run carries out a plan that is made in its own transaction.
func run(ctx context.Context, conn *pgx.Conn, plan func(context.Context, querier) ([]Step, error)) ([]Step, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit, there is nothing to roll back
	for _, sql := range Begin()[1:] {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("run %s: %w", sql, err)
		}
	}
	steps, err := plan(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		if _, err := tx.Exec(ctx, s.SQL); err != nil {
			return nil, fmt.Errorf("run %s: %w", firstLine(s.SQL), err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return steps, nil
}

func firstLine(sql string) string {
	line, _, _ := strings.Cut(sql, "\n")
	return line
}

// planRemoval says what takes away all that install has made, and nothing else: what others have put into the schema keeps it there.
func planRemoval(ctx context.Context, q querier) ([]Step, error) {
	in, err := readInstalled(ctx, q)
	if err != nil || !in.schema {
		return nil, err
	}
	p := &planner{in: in}
	const wrong = "is installed"
	for _, name := range slices.Sorted(maps.Keys(in.functions)) {
		if ours(name) {
			p.drop(name, wrong)
		}
	}
	others := 0
	for _, name := range in.objects {
		switch {
		case !ours(name):
			others++
		case name == "outbox_id_seq": // goes with its table
		case isSequence(name):
			p.step(wrong, "DROP SEQUENCE cacheproxy."+identifier(name))
		default:
			p.step(wrong, "DROP TABLE cacheproxy."+identifier(name))
		}
	}
	for name := range in.functions {
		if !ours(name) {
			others++
		}
	}
	if others == 0 {
		p.step(wrong, "DROP SCHEMA cacheproxy")
	}
	return p.steps, nil
}

// Remove takes away all that install has made, in one transaction.
func Remove(ctx context.Context, conn *pgx.Conn) ([]Step, error) { return run(ctx, conn, planRemoval) }
