package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Logical names the slot and the publication that tell of changes. Empty: triggers tell.
type Logical struct{ Slot, Publication string }

// UntoldPrefix, followed by the name of the slot, is the prefix of a message in the write-ahead log that says that
// changes of a table went untold. The content of the message is the table, in UTF-8. An install writes the message in the
// transaction in which it mends a publication.
const UntoldPrefix = "cacheproxy.untold:"

// minVersion is the first version of PostgreSQL whose pgoutput sends messages.
const minVersion = 140000

// planLogical plans what a database needs for logical decoding of the tables: a publication of the tables, a replica
// identity with enough columns, and a slot. The publication comes before the slot: decoding fails on changes that are
// older than the publication.
func (want *Installation) planLogical(ctx context.Context, q Querier) ([]Step, error) {
	p := &planner{want: want}
	if err := p.server(ctx, q); err != nil {
		return nil, err
	}
	if err := p.triggersGone(ctx, q); err != nil {
		return nil, err
	}
	found, there, right, err := readTold(ctx, q, want.Publication, want.Mappings)
	if err != nil {
		return nil, err
	}
	var refused []error
	var lacking []toldRelation
	for _, m := range want.Mappings {
		of := slices.DeleteFunc(slices.Clone(found), func(r toldRelation) bool { return r.Mapping != m.ID })
		if text := refusal(m, of); text != "" {
			refused = append(refused, &Refusal{m, text})
			continue
		}
		for _, r := range of {
			if r.Kind == "r" && !r.identified(m) {
				p.step(fmt.Sprintf("%s sends of rows before a change %s only, and the feed on line %d needs more", r.String(), keyText(r.Key), m.Line),
					"ALTER TABLE ONLY "+qualified(r.Schema, r.Name)+" REPLICA IDENTITY FULL")
			}
		}
		lacking = append(lacking, p.unpublished(m, of)...)
	}
	if err := errors.Join(refused...); err != nil {
		return nil, err
	}
	before := len(p.steps)
	if err := p.publication(ctx, q, found, lacking, there, right); err != nil {
		return nil, err
	}
	for _, m := range want.Mappings {
		if !right || slices.ContainsFunc(lacking, func(r toldRelation) bool { return r.Mapping == m.ID }) {
			// The log has a text in the encoding of the database, and a slot returns the content of a message as it is.
			p.step(p.steps[before].Wrong, "SELECT pg_catalog.pg_logical_emit_message(true, "+literal(UntoldPrefix+want.Slot)+
				", pg_catalog.convert_to("+literal(tableOf(m.ID))+", 'UTF8'))")
		}
	}
	if err := p.replicates(ctx, q); err != nil {
		return nil, err
	}
	return p.steps, p.slot(ctx, q)
}

func keyText(key []string) string {
	if len(key) == 0 {
		return "nothing"
	}
	return "columns " + joined(key, ", ", identifier)
}

// refusal says why logical decoding cannot tell of a mapping; empty: it can.
func refusal(m *Mapping, of []toldRelation) string {
	if len(of) == 0 {
		return "does not exist; write schema.table as the database has it, letter by letter"
	}
	top := of[0]
	switch top.Kind {
	case "r", "p":
	case "v", "m":
		return "is a view, whose rows change without it; write the tables that it is made of"
	default:
		return "is not a table that PostgreSQL keeps; write one that is"
	}
	for _, r := range of {
		switch {
		case r.Persistence == "u":
			return fmt.Sprintf("has its rows in the UNLOGGED table %s, of which the write-ahead log has nothing; run ALTER TABLE %s SET LOGGED", r.String(), qualified(r.Schema, r.Name))
		case r.Kind == "f":
			return fmt.Sprintf("has the foreign table %s among its partitions or children, of which the write-ahead log has nothing; detach it, or name the other tables one by one", r.String())
		case r.Kind == "p" && len(r.Key) == 0:
			return "has partitions and no primary key; once it is published, updates of a partition that is added later would fail; add a primary key, or use source: triggers"
		}
	}
	for _, column := range slices.Concat(m.Watched, m.Columns) {
		switch {
		case !slices.Contains(top.Columns, column):
			return fmt.Sprintf("has no column %s; it has %s", identifier(column), joined(top.Columns, ", ", identifier))
		case slices.Contains(top.Generated, column):
			return fmt.Sprintf("has column %s generated, which logical decoding does not send; write the columns that it is made of, or use source: triggers", identifier(column))
		}
	}
	return ""
}

// unpublished returns the relations of a mapping that the publication lacks or has in part. A partition comes with its
// table.
func (p *planner) unpublished(m *Mapping, of []toldRelation) (all []toldRelation) {
	complete := true
	for _, r := range of {
		complete = complete && (r.Kind != "r" || r.sends(m))
	}
	for _, r := range of {
		if !r.Partition && (r.Kind == "r" && !r.sends(m) || r.Kind == "p" && (!complete || !r.Member && len(of) == 1)) {
			all = append(all, r)
		}
	}
	return all
}

// publication plans the creation of the publication, or the changes to an existing publication.
func (p *planner) publication(ctx context.Context, q Querier, found, lacking []toldRelation, there, right bool) error {
	name := identifier(p.want.Publication)
	const with = "publish = 'insert, update, delete, truncate', publish_via_partition_root = false"
	tables := func(all []toldRelation) string {
		return joined(all, ", ", func(r toldRelation) string {
			if r.Kind == "p" {
				return qualified(r.Schema, r.Name)
			}
			return "ONLY " + qualified(r.Schema, r.Name)
		})
	}
	if !there {
		p.step("there is no publication "+p.want.Publication, "CREATE PUBLICATION "+name+" FOR TABLE "+tables(lacking)+" WITH ("+with+")")
		return nil
	}
	if !right {
		p.step("publication "+p.want.Publication+" does not have all that happens, or has changes of partitions as if of the whole, where TRUNCATE of one goes unsaid",
			"ALTER PUBLICATION "+name+" SET ("+with+")")
	}
	for _, r := range lacking {
		wrong := "publication " + p.want.Publication + " does not have all of " + r.String()
		if r.Member { // member with a filter, or without some columns
			p.step(wrong, "ALTER PUBLICATION "+name+" DROP TABLE "+tables([]toldRelation{r}))
		}
		p.step(wrong, "ALTER PUBLICATION "+name+" ADD TABLE "+tables([]toldRelation{r}))
	}
	strays, err := list(ctx, q, `SELECT n.nspname::text AS schema, c.relname::text AS name, c.oid::bigint AS oid FROM pg_catalog.pg_publication_rel r
		JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid JOIN pg_catalog.pg_class c ON c.oid = r.prrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE p.pubname = $1 ORDER BY 1, 2`, pgx.RowToStructByName[struct {
		Schema, Name string
		OID          uint32
	}], p.want.Publication)
	for _, s := range strays {
		if !slices.ContainsFunc(found, func(r toldRelation) bool { return r.OID == s.OID }) {
			p.step("publication "+p.want.Publication+" has "+s.Schema+"."+s.Name+", which no feed is about",
				"ALTER PUBLICATION "+name+" DROP TABLE ONLY "+qualified(s.Schema, s.Name))
		}
	}
	return err
}

// triggersGone plans the removal of the triggers of an earlier configuration. These triggers would write rows that
// nobody consumes.
func (p *planner) triggersGone(ctx context.Context, q Querier) (err error) {
	const sql = `SELECT EXISTS (SELECT FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace WHERE n.nspname = 'cacheproxy' AND f.proname LIKE 'changed\_%')`
	var there bool
	if err := q.QueryRow(ctx, sql).Scan(&there); err != nil {
		return fmt.Errorf("look for triggers: %w", err)
	}
	if there {
		if p.in, err = readInstalled(ctx, q); err == nil {
			others := &planner{want: &Installation{}, in: p.in}
			others.remove()
			p.steps = append(p.steps, others.steps...)
		}
	}
	return err
}
