package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Told describes how logical decoding tells of a mapping's table.
type Told struct {
	Gap       string   // why changes may go untold; empty: all changes are told
	Relations []uint32 // the relations that hold the rows: the table, its partitions and the tables that inherit from it
	// State changes whenever the set of relations changes: rows have then come or gone without a change of any row.
	State string
	// Moves says that an update may arrive as a delete and an insert, since the table has partitions.
	Moves bool
}

// toldSQL has a row for each relation of each mapping, as gapsSQL has. The query needs no privileges. The columns and
// filters of a publication are in the view since PostgreSQL 15; to_jsonb lets the query run on 14 too, where sent is
// NULL. The server unpacks the names of columns from JSON: Go escapes other characters in JSON than PostgreSQL does, so
// the two texts of one name may differ.
const toldSQL = `WITH RECURSIVE of(mapping, oid, top) AS (
		SELECT w.mapping, c.oid, true FROM unnest($1::text[], $2::text[], $3::text[]) AS w(mapping, schema, name)
		JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
		UNION SELECT o.mapping, i.inhrelid, false FROM of o JOIN pg_catalog.pg_inherits i ON i.inhparent = o.oid)
	SELECT o.mapping, o.top, c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind, c.relpersistence::text AS persistence,
		c.relispartition AS partition, c.relreplident::text AS identity,
		ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
			WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END) AS key,
		ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns,
		ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> '') AS generated,
		EXISTS (SELECT FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $4 AND r.prrelid = c.oid) AS member,
		t.tablename IS NOT NULL AS published, t.rowfilter IS NOT NULL AS filtered,
		CASE WHEN t.attnames IS NOT NULL THEN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(t.attnames)) END AS sent
	FROM of o JOIN pg_catalog.pg_class c ON c.oid = o.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN (SELECT schemaname, tablename, pg_catalog.to_jsonb(v) -> 'attnames' AS attnames, pg_catalog.to_jsonb(v) ->> 'rowfilter' AS rowfilter
		FROM pg_catalog.pg_publication_tables v WHERE pubname = $4) t ON t.schemaname = n.nspname AND t.tablename = c.relname
	ORDER BY 1, o.top DESC, 4, 5`

// publicationSQL asks whether a publication sends all kinds of changes, each partition as itself. No row: the
// publication does not exist.
const publicationSQL = `SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate AND NOT pubviaroot FROM pg_catalog.pg_publication WHERE pubname = $1`

// toldRelation is a row of toldSQL.
type toldRelation struct {
	Mapping                     string
	Top                         bool
	OID                         uint32
	Schema, Name                string
	Kind, Persistence           string
	Partition                   bool
	Identity                    string
	Key, Columns, Generated     []string
	Member, Published, Filtered bool
	Sent                        []string // the columns that the publication sends; nil: all
}

func (r *toldRelation) String() string { return r.Schema + "." + r.Name }

// identified reports whether old rows are sent with all columns that the mapping needs. A relation without any identity
// is not identified either: once a publication has the relation, PostgreSQL refuses each update of its rows.
func (r *toldRelation) identified(m *Mapping) bool {
	if r.Identity == "f" {
		return true
	}
	for _, column := range slices.Concat(m.Columns, m.Watched) {
		if !slices.Contains(r.Key, column) {
			return false
		}
	}
	return len(r.Key) > 0
}

// sends reports whether the publication has the relation with all rows and all columns that the mapping needs.
func (r *toldRelation) sends(m *Mapping) bool {
	for _, column := range slices.Concat(m.Columns, m.Watched) {
		if r.Sent != nil && !slices.Contains(r.Sent, column) {
			return false
		}
	}
	return r.Published && !r.Filtered
}

// readTold reads the relations of mappings, and whether the publication exists (there) and has the right settings.
func readTold(ctx context.Context, q Querier, publication string, mappings []*Mapping) (all []toldRelation, there, right bool, err error) {
	var ids, schemas, names []string
	for _, m := range mappings {
		ids, schemas, names = append(ids, m.ID), append(schemas, m.Schema), append(names, m.Table)
	}
	found, err := list[bool](ctx, q, publicationSQL, pgx.RowTo, publication)
	if err != nil {
		return nil, false, false, err
	}
	all, err = list(ctx, q, toldSQL, pgx.RowToStructByName[toldRelation], ids, schemas, names, publication)
	return all, len(found) > 0, len(found) > 0 && found[0], err
}

// ReadTold describes, by the id of each mapping, how logical decoding tells of the mapping's table with a publication.
// An error says that the catalog could not be read.
func ReadTold(ctx context.Context, conn *pgx.Conn, publication string, mappings []*Mapping) (map[string]Told, error) {
	found, there, right, err := readTold(ctx, conn, publication, mappings)
	if err != nil {
		return nil, err
	}
	all := map[string]Told{}
	for _, m := range mappings {
		var t Told
		var oids []string
		for _, r := range found {
			if r.Mapping != m.ID {
				continue
			}
			t.Relations, oids = append(t.Relations, r.OID), append(oids, fmt.Sprint(r.OID))
			t.Moves = t.Moves || r.Kind == "p"
			switch {
			case t.Gap != "" || r.Kind == "p":
			case r.Kind != "r":
				t.Gap = r.String() + " is not a table that PostgreSQL keeps"
			case !r.sends(m):
				t.Gap = "publication " + publication + " does not have all of " + r.String()
			}
		}
		switch {
		case !there:
			t.Gap = "there is no publication " + publication
		case !right:
			t.Gap = "publication " + publication + " does not have all that happens, or has changes of partitions as if of the whole"
		case len(t.Relations) == 0:
			t.Gap = "there is no such table"
		}
		slices.Sort(oids)
		sum := sha256.Sum256([]byte(strings.Join(oids, ",")))
		t.State = hex.EncodeToString(sum[:4])
		all[m.ID] = t
	}
	return all, nil
}
