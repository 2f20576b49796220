package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// lockTimeout is how long each statement of a plan waits for whoever is changing a table: everybody who comes later waits behind it.
const lockTimeout = "5s"

// lockWaits are how long an install waits for all of its locks together, at one attempt after another: whoever comes later waits behind
// each lock that it has, and for as long as it waits for the next. In between it has none, for lockPause.
var lockWaits = []time.Duration{time.Second, 2 * time.Second, 2 * time.Second}

const lockPause = 300 * time.Millisecond

// Begin are the statements that a plan begins with, in its transaction. One install waits for another.
func Begin() []string {
	return []string{"BEGIN", "SET LOCAL lock_timeout = '" + lockTimeout + "'", "SET LOCAL search_path = ''", "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('cacheproxy.installation'))"}
}

// Install brings the database to what is wanted, in one transaction, and says what it did.
func (want *Installation) Install(ctx context.Context, conn *pgx.Conn) ([]Step, error) {
	steps, err := run(ctx, conn, want.Plan)
	if err != nil {
		return nil, err
	}
	return steps, afterwards(ctx, conn, steps)
}

// run carries out a plan that is made in its own transaction, and does so again where somebody has stood in the way.
func run(ctx context.Context, conn *pgx.Conn, plan func(context.Context, Querier) ([]Step, error)) (steps []Step, err error) {
	for i, wait := range lockWaits {
		if i > 0 {
			if _, err := conn.Exec(ctx, fmt.Sprintf("SELECT pg_catalog.pg_sleep(%g)", lockPause.Seconds())); err != nil {
				return nil, fmt.Errorf("wait for locks: %w", err)
			}
		}
		if steps, err = attempt(ctx, conn, plan, wait); !inTheWay(err) {
			return steps, err
		}
	}
	return nil, fmt.Errorf("%w; somebody is changing the table, and others wait behind an install: nothing is changed, run it again", err)
}

// inTheWay reports whether somebody has held a lock for too long (lock_not_available), or waits for one of ours (deadlock_detected).
func inTheWay(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "55P03" || pg.Code == "40P01")
}

// attempt carries out a plan, and waits no longer than that for all of its locks together. A statement by itself cannot say so: its
// lock_timeout is what is left.
func attempt(ctx context.Context, conn *pgx.Conn, plan func(context.Context, Querier) ([]Step, error), wait time.Duration) ([]Step, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit, there is nothing to roll back
	began := time.Now()
	exec := func(sql string) error {
		left := max(wait-time.Since(began), time.Millisecond) // zero would be for ever
		_, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", left.Milliseconds()))
		if err == nil {
			_, err = tx.Exec(ctx, sql)
		}
		if err != nil {
			return fmt.Errorf("run %s: %w", firstLine(sql), err)
		}
		return nil
	}
	for _, sql := range Begin()[2:] { // without a lock_timeout for each
		if err := exec(sql); err != nil {
			return nil, err
		}
	}
	steps, err := plan(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		if s.After {
			continue
		}
		if err := exec(s.SQL); err != nil {
			_ = tx.Rollback(ctx) // what has failed takes no more statements
			return nil, ungranted(ctx, err, s, steps, conn)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return steps, nil
}

// ungranted says of a step that the server does not permit what has to be granted: for all tables at once, of which it has named the first.
func ungranted(ctx context.Context, err error, of Step, steps []Step, conn *pgx.Conn) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pg.Code != "42501" || of.needs.Name == "" {
		return err
	}
	var role, database string
	if conn.QueryRow(ctx, "SELECT current_user::text, pg_catalog.current_database()::text").Scan(&role, &database) != nil {
		return err
	}
	var objects []string
	for _, s := range steps {
		if s.needs.Kind == of.needs.Kind && !slices.Contains(objects, s.needs.Object) {
			objects = append(objects, s.needs.Object)
		}
	}
	grant := of.needs.Name + " ON " + strings.Join(objects, ", ")
	if of.needs.Kind == "database" {
		grant = of.needs.Name + " ON DATABASE " + identifier(database)
	}
	if strings.Contains(pg.Message, "schema") {
		schema, _, _ := strings.Cut(of.needs.Object, ".")
		grant = "USAGE ON SCHEMA " + schema
	}
	return fmt.Errorf("%w; have an owner or a superuser run GRANT %s TO %s, or install as another role (--url)", err, grant, identifier(role))
}

func firstLine(sql string) string {
	line, _, _ := strings.Cut(sql, "\n")
	return line
}

// planRemoval says what takes away all that install has made, and nothing else: what others have put into the schema keeps it there.
func planRemoval(ctx context.Context, q Querier) ([]Step, error) {
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

// Remove takes away all that install has made, in one transaction: of parts those that are named, with what they hold.
func Remove(ctx context.Context, conn *pgx.Conn, parts ...Part) ([]Step, error) {
	return run(ctx, conn, func(ctx context.Context, q Querier) ([]Step, error) {
		steps, err := planRemoval(ctx, q)
		for _, part := range parts {
			if err != nil {
				return nil, err
			}
			var more []Step
			more, err = part.Removal(ctx, q)
			steps = append(steps, more...)
		}
		return steps, err
	})
}
