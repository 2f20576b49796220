package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Querier is a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// relation is a table whose rows a mapping is about: the table of the mapping, a partition of the table, or one that
// inherits from the table.
type relation struct {
	OID          uint32
	Schema, Name string
	Kind         string // r: a table; p: one with partitions; f: a foreign table; others
	Top          bool   // the table of the mapping
	Unlogged     bool   // a crash of the server empties the table
}

func (r *relation) String() string { return r.Schema + "." + r.Name }

// installed is the installation that the catalog describes.
type installed struct {
	version   int // zero: nothing is installed
	notify    bool
	functions map[string]installedFunction
	triggers  []installedTrigger
	markers   map[string]bool     // by mapping: lossy
	covered   map[string][]uint32 // by mapping: the oids of the relations that its triggers were put on, sorted
	objects   []string            // names of the relations in the schema
	schema    bool
	unclear   bool                // installation has no row or several, so nobody knows the version
	shapes    map[string][]string // by relation of the schema: the facts about the relation
	surplus   []surplus
}

type installedFunction struct {
	Name, Source string
	Definer      bool
	Settings     []string
	Public       bool // PUBLIC may use the function in triggers
	Owner        string
	Writes       bool // the owner may write to the outbox
}

type installedTrigger struct {
	Relation      uint32
	Name          string
	Function      string
	Enabled       string // O: in sessions of origin; D: never; R: for replication only; A: always
	Type          int16
	OldTable      string
	NewTable      string
	Schema, Table string
}

// readInstalled reads the installation. Only the version, the markers and covered need privileges.
func readInstalled(ctx context.Context, q Querier) (*installed, error) {
	in := &installed{functions: map[string]installedFunction{}, markers: map[string]bool{}, covered: map[string][]uint32{}}
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'cacheproxy')`).Scan(&in.schema)
	if err != nil {
		return nil, fmt.Errorf("look for schema cacheproxy: %w", err)
	}
	if !in.schema {
		return in, nil
	}
	if in.objects, err = list[string](ctx, q, `SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'cacheproxy' AND c.relkind IN ('r', 'S', 'v', 'm', 'p', 'f') ORDER BY 1`, pgx.RowTo); err != nil {
		return nil, err
	}
	functions, err := list(ctx, q, `SELECT p.proname::text AS name, p.prosrc AS source, p.prosecdef AS definer, coalesce(p.proconfig, '{}') AS settings,
		p.proacl IS NULL OR EXISTS (SELECT FROM pg_catalog.aclexplode(p.proacl) a WHERE a.grantee = 0) AS public,
		pg_catalog.pg_get_userbyid(p.proowner)::text AS owner,
		coalesce((SELECT pg_catalog.has_table_privilege(p.proowner, c.oid, 'INSERT') FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'outbox'), true) AS writes
		FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname = 'cacheproxy' AND p.pronargs = 0`, pgx.RowToStructByName[installedFunction])
	if err != nil {
		return nil, err
	}
	for _, f := range functions {
		in.functions[f.Name] = f
	}
	if in.triggers, err = list(ctx, q, `SELECT t.tgrelid::bigint AS relation, t.tgname::text AS name, p.proname::text AS function, t.tgenabled::text AS enabled, t.tgtype AS type,
		coalesce(t.tgoldtable::text, '') AS oldtable, coalesce(t.tgnewtable::text, '') AS newtable, rn.nspname::text AS schema, r.relname::text AS table
		FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
		JOIN pg_catalog.pg_class r ON r.oid = t.tgrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
		WHERE n.nspname = 'cacheproxy' AND NOT t.tgisinternal ORDER BY t.tgrelid, t.tgname`, pgx.RowToStructByName[installedTrigger]); err != nil {
		return nil, err
	}
	if !in.has("installation") {
		return in, nil
	}
	var reads bool
	if err := q.QueryRow(ctx, `SELECT pg_catalog.bool_and(pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'))
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'cacheproxy' AND c.relname IN ('installation', 'marker', 'covered')`).Scan(&reads); err != nil {
		return nil, fmt.Errorf("look at privileges: %w", err)
	}
	if !reads {
		return nil, errors.New("read installation: this role may not read what is installed in schema cacheproxy; run cacheproxy pg install with --url of the role that has installed it")
	}
	if err := in.readShapes(ctx, q); err != nil {
		return nil, err
	}
	if err := in.readVersion(ctx, q); err != nil {
		return nil, err
	}
	if !in.has("marker") {
		return in, nil
	}
	rows, err := list(ctx, q, `SELECT mapping AS id, lossy FROM cacheproxy.marker`, pgx.RowToStructByName[struct {
		ID    string
		Lossy bool
	}])
	for _, m := range rows {
		in.markers[m.ID] = m.Lossy
	}
	if err != nil || !in.has("covered") {
		return in, err
	}
	return in, in.readCovered(ctx, q)
}

// readCovered reads, for each mapping, the relations that its triggers were put on.
func (in *installed) readCovered(ctx context.Context, q Querier) error {
	covered, err := list(ctx, q, `SELECT mapping AS id, relations::bigint[] AS relations FROM cacheproxy.covered`, pgx.RowToStructByName[struct {
		ID        string
		Relations []uint32
	}])
	for _, c := range covered {
		slices.Sort(c.Relations)
		in.covered[c.ID] = c.Relations
	}
	return err
}

// readVersion reads the version and notify. Unless there is exactly one row, the installation is unclear.
func (in *installed) readVersion(ctx context.Context, q Querier) error {
	versions, err := list(ctx, q, `SELECT version, notify FROM cacheproxy.installation`, pgx.RowToStructByPos[struct {
		Version int
		Notify  bool
	}])
	if err != nil {
		return err
	}
	if in.unclear = len(versions) != 1; in.unclear {
		in.version = layoutVersion // shape makes the tables anew in this case
	} else {
		in.version, in.notify = versions[0].Version, versions[0].Notify
	}
	return nil
}

func (in *installed) has(object string) bool {
	for _, name := range in.objects {
		if name == object {
			return true
		}
	}
	return false
}

// list collects all rows of a query.
func list[T any](ctx context.Context, q Querier, sql string, scan pgx.RowToFunc[T], args ...any) ([]T, error) {
	rows, _ := q.Query(ctx, sql, args...) // CollectRows returns the error too
	all, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	return all, nil
}

// readTable finds a mapping's table, the relations below the table, and its columns. A table that does not exist has no
// relations.
func readTable(ctx context.Context, q Querier, schema, name string) (relations []relation, columns []string, t table, err error) {
	var oid uint32
	err = q.QueryRow(ctx, `SELECT c.oid::bigint FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, schema, name).Scan(&oid)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil, t, nil
	}
	if err != nil {
		return nil, nil, t, fmt.Errorf("look for table: %w", err)
	}
	relations, err = list(ctx, q, `WITH RECURSIVE below(oid, depth) AS (
			SELECT $1::bigint::oid, 0 UNION SELECT i.inhrelid, b.depth + 1 FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid)
		SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind, c.oid = $1::bigint::oid AS top, c.relpersistence = 'u' AS unlogged
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid IN (SELECT oid FROM below) ORDER BY top DESC, 2, 3`, pgx.RowToStructByName[relation], int64(oid))
	if err == nil {
		columns, err = list[string](ctx, q, `SELECT attname::text FROM pg_catalog.pg_attribute WHERE attrelid = $1::bigint::oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
			pgx.RowTo, int64(oid))
	}
	if err == nil {
		t.primary, err = list[string](ctx, q, `SELECT a.attname::text FROM pg_catalog.pg_index i, pg_catalog.pg_attribute a
			WHERE i.indrelid = $1::bigint::oid AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[]) ORDER BY a.attnum`, pgx.RowTo, int64(oid))
	}
	return relations, columns, t, err
}
