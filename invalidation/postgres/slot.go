package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// slotTimeout bounds the creation of a slot, which waits for the transactions that are writing at that moment.
	slotTimeout = 30 * time.Second
	// dropAttempts bounds the attempts to drop a slot that another session is reading; dropPause lies between two of
	// them.
	dropAttempts, dropPause = 20, 100 * time.Millisecond
)

// slotState is a row of the catalog about a slot.
type slotState struct {
	Plugin   string
	Database string
	Status   string // lost: the server has removed log that the slot had to keep
}

func readSlot(ctx context.Context, q Querier, name string) (*slotState, error) {
	found, err := list(ctx, q, `SELECT coalesce(plugin::text, '') AS plugin, coalesce(database::text, '') AS database, coalesce(wal_status, '') AS status
		FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`, pgx.RowToStructByName[slotState], name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// server refuses a server that cannot decode.
func (p *planner) server(ctx context.Context, q Querier) error {
	var version int
	var level string
	if err := q.QueryRow(ctx, "SELECT current_setting('server_version_num')::int, current_setting('wal_level')").Scan(&version, &level); err != nil {
		return fmt.Errorf("ask for version of server: %w", err)
	}
	switch {
	case version < minVersion:
		return fmt.Errorf("plan installation: the server has version %d; source: logical needs PostgreSQL 14 or later, use source: triggers", version/10000)
	case level != "logical":
		return fmt.Errorf("plan installation: the server has wal_level = %s; set wal_level = logical (on RDS, rds.logical_replication = 1) and restart it, or use source: triggers", level)
	}
	return nil
}

// slot plans the creation of the slot, after all other steps and outside of a transaction, as PostgreSQL demands.
func (p *planner) slot(ctx context.Context, q Querier) error {
	name := p.want.Slot
	is, err := readSlot(ctx, q, name)
	if err != nil {
		return err
	}
	var database string
	if err := q.QueryRow(ctx, "SELECT current_database()::text").Scan(&database); err != nil {
		return fmt.Errorf("ask for database: %w", err)
	}
	wrong := ""
	switch {
	case is == nil:
		wrong = "there is no slot " + name
	case is.Database != database:
		return fmt.Errorf("plan installation: slot %s is one of another database or of no database; write another postgres.slot", name)
	case is.Plugin != "pgoutput":
		return fmt.Errorf("plan installation: slot %s is of plugin %s, and somebody else's; write another postgres.slot", name, is.Plugin)
	case is.Status == "lost":
		wrong = "slot " + name + " has lost the log that it had to keep"
		p.after(wrong, dropSlot(name))
	default:
		return nil
	}
	p.after(wrong, fmt.Sprintf("SET statement_timeout = '%ds'", int(slotTimeout.Seconds())))
	p.after(wrong, "SELECT pg_catalog.pg_create_logical_replication_slot("+literal(name)+", 'pgoutput')")
	return nil
}

func dropSlot(name string) string {
	return "SELECT pg_catalog.pg_drop_replication_slot(" + literal(name) + ")"
}

// after plans a step that runs after the transaction.
func (p *planner) after(wrong, sql string) {
	p.steps = append(p.steps, Step{Wrong: wrong, SQL: sql, After: true})
}

// replicates lets the consumer read slots. The privilege is an attribute of the role, or on RDS membership in a role.
func (p *planner) replicates(ctx context.Context, q Querier) error {
	role := p.want.Consumer
	if role == "" {
		return nil
	}
	var may, managed *bool
	err := q.QueryRow(ctx, `SELECT (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = $1),
		(SELECT pg_catalog.pg_has_role(c.oid, r.oid, 'USAGE') FROM pg_catalog.pg_roles r, pg_catalog.pg_roles c WHERE r.rolname = 'rds_replication' AND c.rolname = $1)`, role).Scan(&may, &managed)
	switch {
	case err != nil:
		return fmt.Errorf("look for role %s: %w", role, err)
	case may == nil:
		return fmt.Errorf("plan installation: there is no role %s, which postgres.url names; create it: CREATE ROLE %s LOGIN REPLICATION PASSWORD '…'", role, identifier(role))
	case *may || managed != nil && *managed:
	case managed != nil:
		p.step("role "+role+" may not read slots", "GRANT rds_replication TO "+identifier(role))
	default:
		p.step("role "+role+" may not read slots", "ALTER ROLE "+identifier(role)+" REPLICATION")
	}
	return nil
}

// afterwards runs the steps that come after the transaction.
func afterwards(ctx context.Context, conn *pgx.Conn, steps []Step) error {
	for _, s := range steps {
		if !s.After {
			continue
		}
		err := exec(ctx, conn, s.SQL)
		pg, ok := errors.AsType[*pgconn.PgError](err)
		switch {
		case err == nil:
		case ok && pg.Code == "42501":
			return fmt.Errorf("run %s: %w; all the rest is done: run pg install as a role with REPLICATION, such as that of postgres.url, without --url", s.SQL, err)
		case ok && pg.Code == "57014":
			return fmt.Errorf("run %s: %w; a transaction that changes something is open for so long, which a slot has to wait for: all the rest is done, run it again", s.SQL, err)
		default:
			return fmt.Errorf("run %s: %w; all that comes before it is done", s.SQL, err)
		}
	}
	return nil
}

// exec runs a statement, and repeats the statement up to dropAttempts times while the slot is in use. A consumer holds
// a slot for a moment at a time.
func exec(ctx context.Context, conn *pgx.Conn, sql string) error {
	for i := 0; ; i++ {
		_, err := conn.Exec(ctx, sql)
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "55006" || i == dropAttempts {
			return err
		}
		if _, err := conn.Exec(ctx, fmt.Sprintf("SELECT pg_catalog.pg_sleep(%g)", dropPause.Seconds())); err != nil {
			return err
		}
	}
}

// Warnings lists settings that are valid and may do harm.
func (want *Installation) Warnings(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	if want.Slot == "" {
		return nil, nil
	}
	var limit string
	if err := conn.QueryRow(ctx, "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'").Scan(&limit); err != nil {
		return nil, fmt.Errorf("ask for max_slot_wal_keep_size: %w", err)
	}
	if limit == "-1" {
		return []string{"max_slot_wal_keep_size is -1: while nobody consumes, slot " + want.Slot + " keeps the write-ahead log until the disk is full; set it to what the disk has room for"}, nil
	}
	return nil, nil
}

// RemoveLogical drops a slot and a publication, and returns the steps that it ran. Two roles may share the work: one
// with REPLICATION drops the slot, and the owner of the publication drops that, in either order. The error says what is
// left, and which role may drop it. The replica identity of the tables (REPLICA IDENTITY) stays: nobody knows what it
// was before.
func RemoveLogical(ctx context.Context, conn *pgx.Conn, l Logical) (done []Step, err error) {
	const wrong = "is installed"
	is, err := readSlot(ctx, conn, l.Slot)
	if err != nil {
		return nil, err
	}
	owners, err := list[string](ctx, conn, `SELECT pg_catalog.pg_get_userbyid(pubowner)::text FROM pg_catalog.pg_publication WHERE pubname = $1`, pgx.RowTo, l.Publication)
	if err != nil {
		return nil, err
	}
	var left []error
	drop := func(sql, advice string) {
		switch err := exec(ctx, conn, sql); {
		case err == nil:
			done = append(done, Step{Wrong: wrong, SQL: sql})
		case refused(err):
			left = append(left, fmt.Errorf("run %s: %w; %s", sql, err, advice))
		default:
			left = append(left, fmt.Errorf("run %s: %w", sql, err))
		}
	}
	if is != nil && is.Plugin == "pgoutput" {
		drop(dropSlot(l.Slot), "slot "+l.Slot+" is left, and keeps the write-ahead log: run pg uninstall as a role with REPLICATION, such as that of postgres.url, without --url")
	}
	for _, owner := range owners { // one at most
		drop("DROP PUBLICATION "+identifier(l.Publication), "publication "+l.Publication+" is left: run pg uninstall as its owner, "+owner+" (--url)")
	}
	return done, errors.Join(left...)
}
