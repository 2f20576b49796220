package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// grant gives the consumer what it needs, and nothing else.
func (p *planner) grant(ctx context.Context, q querier) error {
	role := p.want.Consumer
	if role == "" {
		return nil
	}
	var there bool
	if err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)`, role).Scan(&there); err != nil {
		return fmt.Errorf("look for role %s: %w", role, err)
	}
	if !there {
		return fmt.Errorf("plan installation: there is no role %s, which postgres.url names; create it: CREATE ROLE %s LOGIN PASSWORD '…'", role, identifier(role))
	}
	lacks := func(kind, object, privilege string) (bool, error) {
		var has *bool
		sql := `SELECT CASE WHEN to_regclass($2) IS NOT NULL THEN has_` + kind + `_privilege($1, $2, $3) END`
		if kind == "schema" {
			sql = `SELECT CASE WHEN to_regnamespace($2) IS NOT NULL THEN has_schema_privilege($1, $2, $3) END`
		}
		if err := q.QueryRow(ctx, sql, role, object, privilege).Scan(&has); err != nil {
			return false, fmt.Errorf("look at privileges of %s: %w", role, err)
		}
		return has == nil || !*has, nil
	}
	type grantee struct{ kind, object, privilege, sql string }
	wanted := []grantee{{"schema", "cacheproxy", "USAGE", "USAGE ON SCHEMA cacheproxy"}}
	objects := slices.Clone(shared)
	for _, m := range p.want.Mappings {
		objects = append(objects, struct{ name, privileges string }{m.owed(), "SELECT, UPDATE"})
	}
	for _, o := range objects {
		kind, word := "table", "TABLE"
		if isSequence(o.name) {
			kind, word = "sequence", "SEQUENCE"
		}
		for privilege := range strings.SplitSeq(o.privileges, ", ") {
			object := "cacheproxy." + identifier(o.name)
			wanted = append(wanted, grantee{kind, object, privilege, privilege + " ON " + word + " " + object})
		}
	}
	for _, g := range wanted {
		if missing, err := lacks(g.kind, g.object, g.privilege); err != nil {
			return err
		} else if missing || p.rebuilt {
			p.step(fmt.Sprintf("role %s lacks %s", role, g.sql), "GRANT "+g.sql+" TO "+identifier(role))
		}
	}
	return nil
}
