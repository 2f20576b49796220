package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// gapsSQL has a row for each relation of each mapping: the table that has the mapping's name at present, and the
// relations below the table. The row of the table alone has what covered says. Except for cacheproxy.covered, the query
// needs no privileges. One statement has one snapshot, so an install is seen as a whole or not at all. Triggers are
// read by one join: for one subquery per relation, the server would start its JIT compiler where there are hundreds of
// relations.
const gapsSQL = `WITH RECURSIVE of(mapping, oid, top) AS (
		SELECT w.mapping, c.oid, true FROM unnest($1::text[], $2::text[], $3::text[]) AS w(mapping, schema, name)
		JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
		UNION SELECT o.mapping, i.inhrelid, false FROM of o JOIN pg_catalog.pg_inherits i ON i.inhparent = o.oid),
	fired(relation, triggers) AS (
		SELECT t.tgrelid, pg_catalog.array_agg(pg_catalog.format('%s %s %s %s %s %s', t.tgname, p.proname, t.tgenabled, t.tgtype, t.tgoldtable, t.tgnewtable))
		FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
		WHERE NOT t.tgisinternal AND n.nspname = 'cacheproxy' GROUP BY 1)
	SELECT o.mapping, c.oid::bigint AS relation, rn.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
		coalesce(k.relations::bigint[], '{}') AS covered, coalesce(f.triggers, '{}') AS triggers
	FROM of o JOIN pg_catalog.pg_class c ON c.oid = o.oid JOIN pg_catalog.pg_namespace rn ON rn.oid = c.relnamespace
	LEFT JOIN fired f ON f.relation = o.oid LEFT JOIN cacheproxy.covered k ON o.top AND k.mapping = o.mapping`

// is formats the trigger as gapsSQL does.
func (t *wantedTrigger) is() string {
	return fmt.Sprintf("%s %s %s %d %s %s", t.name, t.function, t.enabled, t.kind, t.rows()[0], t.rows()[1])
}

// Gaps returns the mappings whose changes may go untold, by their ids, each with the first fault found. Either the
// table of the mapping's name, or a relation below the table, lacks a trigger or has a trigger that differs from what
// install makes. Or the relations differ from those that the triggers were put on. An error says that the catalog could
// not be read.
func Gaps(ctx context.Context, conn *pgx.Conn, mappings []*Mapping) (map[string]string, error) {
	var ids, schemas, names []string
	for _, m := range mappings {
		ids, schemas, names = append(ids, m.ID), append(schemas, m.Schema), append(names, m.Table)
	}
	gaps := map[string]string{}
	found, err := list(ctx, conn, gapsSQL, pgx.RowToStructByName[struct {
		Mapping, Schema, Name, Kind string
		Relation                    uint32
		Covered                     []uint32
		Triggers                    []string
	}], ids, schemas, names)
	switch refused, is := errors.AsType[*pgconn.PgError](err); {
	case is && (refused.Code == "42P01" || refused.Code == "42501"): // covered does not exist, or is not readable
		for _, id := range ids {
			gaps[id] = "what is installed is older than this program, or this role may not read it"
		}
		return gaps, nil
	case err != nil:
		return nil, err
	}
	for _, m := range mappings {
		var relations, covered []uint32
		for _, r := range found {
			if r.Mapping != m.ID {
				continue
			}
			relations, covered = append(relations, r.Relation), append(covered, r.Covered...)
			for _, t := range m.triggers(relation{OID: r.Relation, Schema: r.Schema, Name: r.Name, Kind: r.Kind}) {
				if gaps[m.ID] == "" && !slices.Contains(r.Triggers, t.is()) {
					gaps[m.ID] = fmt.Sprintf("%s.%s lacks trigger %s, or has it disabled or altered", r.Schema, r.Name, t.name)
				}
			}
		}
		slices.Sort(relations)
		slices.Sort(covered)
		switch {
		case len(relations) == 0:
			gaps[m.ID] = "there is no such table"
		case gaps[m.ID] == "" && !slices.Equal(relations, covered):
			gaps[m.ID] = m.Schema + "." + m.Table + " is not the table that it was installed on, or has other partitions or children"
		}
	}
	return gaps, nil
}
