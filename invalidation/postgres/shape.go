package postgres

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// shapes lists every fact that decides how a shared relation behaves. The comparison is complete: each fact in the
// catalog has to be one that install makes, and the other way round. So an added rule, trigger or row security, which
// would drop rows or hide them from the consumer, is a difference, and so is an addition that nobody has thought of.
var shapes = map[string][]string{
	"installation": {
		"is a table", "column version integer NOT NULL", "column notify boolean NOT NULL",
	},
	"outbox": {
		"is a table", "column id bigint NOT NULL, identity", "column mapping text NOT NULL", "column width integer NOT NULL", "column tuples text[]",
		"column cause text", "column at timestamp with time zone NOT NULL DEFAULT clock_timestamp()", "column xid xid8 NOT NULL DEFAULT pg_current_xact_id()",
		"constraint PRIMARY KEY (xid, id)", "index UNIQUE btree (xid, id)",
	},
	"marker": {
		"is a table", "column mapping text NOT NULL", "column owed regclass NOT NULL", "column lossy boolean NOT NULL",
		"column at timestamp with time zone NOT NULL DEFAULT clock_timestamp()", "constraint PRIMARY KEY (mapping)", "index UNIQUE btree (mapping)",
	},
	"covered": {
		"is a table", "column mapping text NOT NULL", "column relations oid[] NOT NULL", "constraint PRIMARY KEY (mapping)", "index UNIQUE btree (mapping)",
	},
	"outbox_id_seq": {"is a sequence", "counts from 1, 1 to 9223372036854775807 by 1"},
	"consumed":      {"is a sequence", "counts from 0, 0 to 9223372036854775807 by 1"},
	"lost":          {"is a sequence", "counts from 1, 1 to 9223372036854775807 by 1"},
}

// owedShape is the shape of the sequence of each mapping.
var owedShape = []string{"is a sequence", "counts from 0, 0 to 1 by 1"}

const shapeSQL = `WITH r AS (SELECT c.*, c.oid AS rel FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $2 AND c.relkind IN ('r', 'S', 'v', 'm', 'p', 'f'))
	SELECT relname::text AS name, 'is ' || CASE relpersistence WHEN 'u' THEN 'an unlogged ' ELSE 'a ' END
		|| CASE relkind::text WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' ELSE 'relation of kind ' || relkind::text END AS fact FROM r
	UNION ALL SELECT relname, 'row security is on' FROM r WHERE relrowsecurity
	UNION ALL SELECT relname, 'row security is forced' FROM r WHERE relforcerowsecurity
	UNION ALL SELECT relname, 'its owner is ' || pg_catalog.pg_get_userbyid(relowner) FROM r
		WHERE relname = ANY ($1) AND relowner <> (SELECT o.relowner FROM r o WHERE o.relname = 'installation')
	UNION ALL SELECT relname, 'column ' || attname || ' ' || pg_catalog.format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
		|| coalesce(' DEFAULT ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') || CASE attidentity WHEN '' THEN '' ELSE ', identity' END
		FROM r JOIN pg_catalog.pg_attribute a ON a.attrelid = rel AND attnum > 0 AND NOT attisdropped
		LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = rel AND d.adnum = attnum WHERE relkind <> 'S'
	UNION ALL SELECT relname, 'constraint ' || pg_catalog.pg_get_constraintdef(k.oid) FROM r JOIN pg_catalog.pg_constraint k ON k.conrelid = rel WHERE contype NOT IN ('n', 't')
	UNION ALL SELECT relname, 'index ' || CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END || pg_catalog.split_part(pg_catalog.pg_get_indexdef(indexrelid), ' USING ', 2)
		|| CASE WHEN indisvalid THEN '' ELSE ' that is not valid' END FROM r JOIN pg_catalog.pg_index ON indrelid = rel
	UNION ALL SELECT relname, 'rule ' || rulename FROM r JOIN pg_catalog.pg_rewrite ON ev_class = rel
	UNION ALL SELECT relname, 'trigger ' || tgname FROM r JOIN pg_catalog.pg_trigger ON tgrelid = rel WHERE NOT tgisinternal
	UNION ALL SELECT relname, 'policy ' || polname FROM r JOIN pg_catalog.pg_policy ON polrelid = rel
	UNION ALL SELECT relname, pg_catalog.format('counts from %s, %s to %s by %s', seqstart, seqmin, seqmax, seqincrement) || CASE WHEN seqcycle THEN ', and again' ELSE '' END
		FROM r JOIN pg_catalog.pg_sequence ON seqrelid = rel`

// surplusSQL lists privileges on shared relations of roles other than the owner. INSERT on outbox is left out for
// owners of functions.
const surplusSQL = `SELECT c.relname::text AS relation, c.relkind = 'S' AS sequence, a.privilege_type AS privilege,
		CASE a.grantee WHEN 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END AS role
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, pg_catalog.aclexplode(c.relacl) a
	WHERE n.nspname = 'cacheproxy' AND c.relname = ANY ($1) AND a.grantee <> c.relowner
		AND NOT (c.relname = 'outbox' AND a.privilege_type = 'INSERT' AND EXISTS (SELECT FROM pg_catalog.pg_proc f WHERE f.pronamespace = n.oid AND f.proowner = a.grantee))
	ORDER BY 1, 4, 3`

type surplus struct {
	Relation  string
	Sequence  bool
	Privilege string
	Role      string // empty: PUBLIC
}

// readShapes reads the facts about each relation in the schema, and the surplus privileges.
func (in *installed) readShapes(ctx context.Context, q Querier) error {
	var names []string
	for _, s := range shared {
		names = append(names, s.name)
	}
	var err error
	if in.shapes, err = Shapes(ctx, q, "cacheproxy", names); err != nil {
		return err
	}
	in.surplus, err = list(ctx, q, surplusSQL, pgx.RowToStructByName[surplus], names)
	return err
}

// Shapes returns, by relation, the facts about the relations of a schema that decide how they behave. The relations in
// names have to have the same owner as the table installation of the schema: another owner is a fact.
func Shapes(ctx context.Context, q Querier, schema string, names []string) (map[string][]string, error) {
	facts, err := list(ctx, q, shapeSQL, pgx.RowToStructByName[struct{ Name, Fact string }], names, schema)
	shapes := map[string][]string{}
	for _, f := range facts {
		shapes[f.Name] = append(shapes[f.Name], f.Fact)
	}
	return shapes, err
}

// differences describes the facts that a relation lacks, and those that install does not make.
func differences(is, want []string) string {
	var all []string
	for _, f := range want {
		if !slices.Contains(is, f) {
			all = append(all, "it lacks: "+f)
		}
	}
	for _, f := range slices.Sorted(slices.Values(is)) {
		if !slices.Contains(want, f) {
			all = append(all, "install does not make: "+f)
		}
	}
	return strings.Join(all, "; ")
}

// shape compares the shared relations. The sequences consumed and lost are altered in place, unless their owner
// differs. For any other difference all tables are made anew, since nobody knows which rows a table of another shape
// holds or has dropped. The markers go with the tables, so that each mapping writes a row for its whole table.
func (p *planner) shape() {
	var wrong []string
	for _, s := range shared {
		d := differences(p.in.shapes[s.name], shapes[s.name])
		switch {
		case d == "":
		case isSequence(s.name) && s.name != "outbox_id_seq" && !strings.Contains(d, "owner"):
			start := "1"
			if s.name == "consumed" {
				start = "0"
			}
			p.sequence("cacheproxy."+s.name+": "+d, s.name, "MINVALUE "+start+" NO MAXVALUE START "+start)
		default:
			wrong = append(wrong, "cacheproxy."+s.name+": "+d)
		}
	}
	if p.in.unclear {
		wrong = append(wrong, "cacheproxy.installation has not one row")
	}
	if len(wrong) > 0 {
		p.rebuild(strings.Join(wrong, "; "))
		return
	}
	for _, s := range p.in.surplus {
		i := slices.IndexFunc(shared, func(o struct{ name, privileges string }) bool { return o.name == s.Relation })
		if s.Role != "" && slices.Contains(strings.Split(shared[i].privileges, ", "), s.Privilege) {
			continue // a consumer has this privilege, perhaps one of another configuration that is still in force
		}
		who, from, kind := "role "+s.Role, identifier(s.Role), "TABLE"
		if s.Role == "" {
			who, from = "everybody", "PUBLIC"
		}
		if s.Sequence {
			kind = "SEQUENCE"
		}
		p.step(who+" has "+s.Privilege+" on cacheproxy."+s.Relation, "REVOKE "+s.Privilege+" ON "+kind+" cacheproxy."+s.Relation+" FROM "+from+" CASCADE")
	}
}

// sequence alters a sequence to count as install has it.
func (p *planner) sequence(wrong, name, counts string) {
	p.step(wrong, "ALTER SEQUENCE cacheproxy."+identifier(name)+" INCREMENT 1 "+counts+" NO CYCLE")
	if p.in.persistence(name) != "is a sequence" {
		p.step(wrong, "ALTER SEQUENCE cacheproxy."+identifier(name)+" SET LOGGED")
	}
}

func (in *installed) persistence(name string) string {
	for _, f := range in.shapes[name] {
		if strings.HasPrefix(f, "is a") {
			return f
		}
	}
	return ""
}

// rebuild makes the shared tables anew. The sequence of ids goes on, since consumers remember the id up to which they
// have consumed.
func (p *planner) rebuild(wrong string) {
	p.step(wrong, "DROP TABLE cacheproxy.installation, cacheproxy.outbox, cacheproxy.marker, cacheproxy.covered")
	for version, statements := range layouts {
		for _, sql := range statements {
			if sql != createSchema && !strings.HasPrefix(sql, "CREATE SEQUENCE") {
				p.step(wrong, sql)
			}
		}
		if version > 0 {
			p.step(wrong, updateVersion(version+1))
		}
	}
	p.step(wrong, "SELECT pg_catalog.setval('cacheproxy.outbox_id_seq', last_value + 1) FROM cacheproxy.consumed")
	p.rebuilt, p.in.notify, p.in.covered = true, false, nil
}
