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

// lockTimeout bounds how long each statement of a plan waits for a transaction that is changing a table. Later
// statements of others queue behind the waiting one.
const lockTimeout = "5s"

// lockWaits bounds how long each attempt of an install waits for all of its locks together. Other sessions queue behind
// each lock that the install has or waits for. Between two attempts, for lockPause, the install holds no lock.
var lockWaits = []time.Duration{time.Second, 2 * time.Second, 2 * time.Second}

const lockPause = 300 * time.Millisecond

// Begin returns the statements that begin a plan, in its transaction. The advisory lock makes one install wait for
// another.
func Begin() []string {
	return []string{"BEGIN", "SET LOCAL lock_timeout = '" + lockTimeout + "'", "SET LOCAL search_path = ''", "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('cacheproxy.installation'))"}
}

// Install brings the database to the wanted state in one transaction, and returns the steps that it ran.
func (want *Installation) Install(ctx context.Context, conn *pgx.Conn) ([]Step, error) {
	steps, err := run(ctx, conn, want.Plan)
	if err != nil {
		return nil, err
	}
	return steps, afterwards(ctx, conn, steps)
}

// run carries out a plan that is made in the transaction of its steps. run tries again if another session was in the
// way.
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

// inTheWay reports whether another session held a lock for too long (lock_not_available), or waits for one of ours
// (deadlock_detected).
func inTheWay(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "55P03" || pg.Code == "40P01")
}

// attempt carries out a plan, and waits no longer than wait for all of its locks together. lock_timeout bounds only one
// statement, so attempt sets it before each statement to the time that is left.
func attempt(ctx context.Context, conn *pgx.Conn, plan func(context.Context, Querier) ([]Step, error), wait time.Duration) ([]Step, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // fails after a commit, harmlessly
	began := time.Now()
	exec := func(sql string) error {
		left := max(wait-time.Since(began), time.Millisecond) // zero would mean no limit
		_, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", left.Milliseconds()))
		if err == nil {
			_, err = tx.Exec(ctx, sql)
		}
		if err != nil {
			return fmt.Errorf("run %s: %w", firstLine(sql), err)
		}
		return nil
	}
	for _, sql := range Begin()[2:] { // the first two are BEGIN and the lock_timeout of each statement
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
			_ = tx.Rollback(ctx) // the failed transaction takes no more statements
			return nil, ungranted(ctx, err, s, steps, conn)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return steps, nil
}

// needed returns the privilege that the step needs, and that the installing role may lack.
func (s Step) needed() Privilege {
	if strings.HasPrefix(s.SQL, "CREATE SCHEMA ") || strings.HasPrefix(s.SQL, "CREATE PUBLICATION ") {
		return Privilege{Kind: "database", Name: "CREATE"}
	}
	return s.needs
}

// refused reports whether the server refused a statement for want of a privilege (insufficient_privilege).
func refused(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "42501"
}

// denies reports whether the server refused a statement for want of a privilege on an object, which begins with its kind.
func denies(err error, object string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Message == "permission denied for "+object
}

// ungranted adds to a refusal of the server the GRANT that is needed. The server names only the first object; ungranted
// names all.
func ungranted(ctx context.Context, err error, of Step, steps []Step, conn *pgx.Conn) error {
	needs := of.needed()
	if !refused(err) || needs.Name == "" {
		return err
	}
	var role, database, schema string
	var creates bool
	const sql = "SELECT current_user::text, pg_catalog.current_database()::text, coalesce((pg_catalog.parse_ident(nullif($1, '')))[1], ''), " +
		"pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')"
	if conn.QueryRow(ctx, sql, needs.Object).Scan(&role, &database, &schema, &creates) != nil {
		return err
	}
	var grant string
	switch {
	case needs.Kind == "database" && creates: // the role lacks something else, such as the ownership of a table
		return err
	case needs.Kind == "database":
		grant = needs.Name + " ON DATABASE " + identifier(database)
	case denies(err, "schema "+schema): // a table may have "schema" in its name
		grant = "USAGE ON SCHEMA " + identifier(schema)
	default:
		var objects []string
		for _, s := range steps {
			if s.needs.Kind == needs.Kind && !slices.Contains(objects, s.needs.Object) {
				objects = append(objects, s.needs.Object)
			}
		}
		grant = needs.Name + " ON " + strings.Join(objects, ", ")
	}
	return fmt.Errorf("%w; have an owner or a superuser run GRANT %s TO %s, or install as another role (--url)", err, grant, identifier(role))
}

func firstLine(sql string) string {
	line, _, _ := strings.Cut(sql, "\n")
	return line
}

// planRemoval plans the removal of everything that install has made. An object of others in the schema keeps the
// schema.
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
		case name == "outbox_id_seq": // goes with its table, outbox
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

// Remove removes everything that install has made, and the given parts with their contents, in one transaction.
func Remove(ctx context.Context, conn *pgx.Conn, parts ...Part) ([]Step, error) {
	steps, err := run(ctx, conn, func(ctx context.Context, q Querier) ([]Step, error) {
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
	if refused(err) {
		return nil, fmt.Errorf("%w; the schemas stay: run pg uninstall as the role that has installed (--url)", err)
	}
	return steps, err
}
