package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cacheproxy/invalidation/postgres"

	"github.com/jackc/pgx/v5"
)

// schema is the schema of the archive. The feed does not use it. The names in the schema are a contract with users who
// report from the archive (docs/leaderboard-sql.md).
const schema = "leaderboard_archive"

// layouts has, for each version, the statements that lead to the next version. Version 0 is an empty database.
var layouts = [...][]string{{
	`CREATE SCHEMA leaderboard_archive`,
	`CREATE TABLE leaderboard_archive.installation (version int NOT NULL)`,
	`INSERT INTO leaderboard_archive.installation (version) VALUES (1)`,
	`CREATE TABLE leaderboard_archive.board (
    route text NOT NULL,
    board text NOT NULL,
    mark bigint NOT NULL,
    newest timestamptz,
    PRIMARY KEY (route, board)
)`,
	`CREATE TABLE leaderboard_archive.bucket (
    route text NOT NULL,
    board text NOT NULL,
    starts timestamptz NOT NULL,
    ends timestamptz NOT NULL,
    members int NOT NULL,
    closed boolean NOT NULL,
    archived timestamptz,
    PRIMARY KEY (route, board, starts)
)`,
	// Members of a bucket, above all of a closed one, are written one after another and read together.
	`CREATE TABLE leaderboard_archive.score (
    route text NOT NULL,
    board text NOT NULL,
    bucket timestamptz NOT NULL,
    player text NOT NULL,
    id text NOT NULL,
    score double precision NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (route, board, bucket, player, id)
)`,
	`CREATE TABLE leaderboard_archive.submission (
    route text NOT NULL,
    board text NOT NULL,
    at timestamptz NOT NULL,
    id text NOT NULL,
    player text NOT NULL,
    score double precision NOT NULL,
    PRIMARY KEY (route, board, at, id, player, score)
)`,
}}

// privileges are exactly those that an archiver needs.
var privileges = map[string][]string{
	"installation": {"SELECT"},
	"board":        {"SELECT", "INSERT", "UPDATE"},
	"bucket":       {"SELECT", "INSERT", "UPDATE", "DELETE"},
	"score":        {"SELECT", "INSERT", "UPDATE", "DELETE"},
	"submission":   {"SELECT", "INSERT", "DELETE"},
}

var tables = []string{"installation", "board", "bucket", "score", "submission"}

// shape has the facts that the tables have to have. More are allowed: users may add indexes and columns for their
// reports.
var shape = map[string][]string{
	"installation": {"is a table", "column version integer NOT NULL"},
	"board": {
		"is a table", "column route text NOT NULL", "column board text NOT NULL", "column mark bigint NOT NULL", "column newest timestamp with time zone",
		"constraint PRIMARY KEY (route, board)",
	},
	"bucket": {
		"is a table", "column route text NOT NULL", "column board text NOT NULL", "column starts timestamp with time zone NOT NULL",
		"column ends timestamp with time zone NOT NULL", "column members integer NOT NULL", "column closed boolean NOT NULL",
		"column archived timestamp with time zone", "constraint PRIMARY KEY (route, board, starts)",
	},
	"score": {
		"is a table", "column route text NOT NULL", "column board text NOT NULL", "column bucket timestamp with time zone NOT NULL",
		"column player text NOT NULL", "column id text NOT NULL", "column score double precision NOT NULL", "column at timestamp with time zone NOT NULL",
		"constraint PRIMARY KEY (route, board, bucket, player, id)",
	},
	"submission": {
		"is a table", "column route text NOT NULL", "column board text NOT NULL", "column at timestamp with time zone NOT NULL", "column id text NOT NULL",
		"column player text NOT NULL", "column score double precision NOT NULL", "constraint PRIMARY KEY (route, board, at, id, player, score)",
	},
}

// Layout is the archive's part of an installation. Layout has a version of its own, and is installed only if a route
// has an archive.
type Layout struct{}

// Plan implements postgres.Part. Tables of another shape are refused and not made anew, since they hold the archive.
func (Layout) Plan(ctx context.Context, q postgres.Querier, role string) (steps []postgres.Step, err error) {
	version, err := installed(ctx, q)
	if err != nil {
		return nil, err
	}
	if version > len(layouts) {
		return nil, fmt.Errorf("plan archive of leaderboards: the database has version %d, and this program knows %d; use the program that has installed it, or a later one", version, len(layouts))
	}
	for at := version; at < len(layouts); at++ {
		wrong := "the archive of leaderboards is not installed"
		if at > 0 {
			wrong = fmt.Sprintf("the archive of leaderboards is of version %d", at)
		}
		for _, sql := range layouts[at] {
			steps = append(steps, postgres.Step{Wrong: wrong, SQL: sql})
		}
		if at > 0 {
			steps = append(steps, postgres.Step{Wrong: wrong, SQL: fmt.Sprintf("UPDATE leaderboard_archive.installation SET version = %d", at+1)})
		}
	}
	if version == len(layouts) {
		if err := compare(ctx, q); err != nil {
			return nil, err
		}
	}
	if role == "" {
		return steps, nil
	}
	var database string
	if err := q.QueryRow(ctx, "SELECT pg_catalog.current_database()").Scan(&database); err != nil {
		return nil, fmt.Errorf("plan archive of leaderboards: %w", err)
	}
	wanted := []postgres.Privilege{
		{Kind: "schema", Object: schema, Name: "USAGE"},
		{Kind: "database", Object: pgx.Identifier{database}.Sanitize(), Name: "TEMPORARY"}, // for COPY's table
	}
	for _, table := range tables {
		for _, name := range privileges[table] {
			wanted = append(wanted, postgres.Privilege{Kind: "table", Object: schema + "." + table, Name: name})
		}
	}
	grants, err := postgres.Grants(ctx, q, role, wanted, false)
	return append(steps, grants...), err
}

// installed returns the installed version; zero: none.
func installed(ctx context.Context, q postgres.Querier) (version int, err error) {
	var there, reads bool
	if err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)`, schema).Scan(&there); err != nil || !there {
		return 0, wrap("look for schema "+schema, err)
	}
	const may = `SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'installation'`
	err = q.QueryRow(ctx, may, schema).Scan(&reads)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, errors.New("plan archive of leaderboards: schema " + schema + " has no table installation, so it is not one that install has made; give it another name")
	case err != nil:
		return 0, fmt.Errorf("look at privileges: %w", err)
	case !reads:
		return 0, errors.New("plan archive of leaderboards: this role may not read schema " + schema + "; run cacheproxy pg install with --url of the role that has installed it")
	}
	return version, wrap("read version of the archive of leaderboards", q.QueryRow(ctx, `SELECT version FROM leaderboard_archive.installation`).Scan(&version))
}

// compare refuses tables that lack something, or hide rows.
func compare(ctx context.Context, q postgres.Querier) error {
	is, err := postgres.Shapes(ctx, q, schema, tables)
	if err != nil {
		return err
	}
	for _, table := range tables {
		for _, fact := range shape[table] {
			if !slices.Contains(is[table], fact) {
				return fmt.Errorf("plan archive of leaderboards: %s.%s lacks: %s; what it holds is the archive, so install does not make it anew: put it right by hand", schema, table, fact)
			}
		}
		for _, fact := range is[table] {
			if strings.HasPrefix(fact, "row security") || strings.HasPrefix(fact, "rule") {
				return fmt.Errorf("plan archive of leaderboards: %s.%s: %s, so that rows go nowhere or are seen by nobody; take it away", schema, table, fact)
			}
		}
	}
	return nil
}

// Removal implements postgres.Part. Objects of others keep the schema in place.
func (Layout) Removal(ctx context.Context, q postgres.Querier) (steps []postgres.Step, err error) {
	is, err := postgres.Shapes(ctx, q, schema, tables)
	others := 0
	for name := range is {
		if !slices.Contains(tables, name) {
			others++
		}
	}
	for _, table := range tables {
		if is[table] != nil {
			steps = append(steps, postgres.Step{Wrong: "is installed", SQL: "DROP TABLE " + schema + "." + table})
		}
	}
	if len(steps) > 0 && others == 0 {
		steps = append(steps, postgres.Step{Wrong: "is installed", SQL: "DROP SCHEMA " + schema})
	}
	return steps, err
}

// Held reports whether the database has an archive. An uninstall keeps the archive unless told otherwise.
func Held(ctx context.Context, q postgres.Querier) (bool, error) {
	version, err := installed(ctx, q)
	return version > 0, err
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
