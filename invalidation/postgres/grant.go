package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Privilege is a privilege that a role needs on an object.
type Privilege struct {
	Kind   string // schema, table, sequence or database
	Object string // in SQL syntax
	Name   string // for example SELECT
}

func (p Privilege) String() string {
	return p.Name + " ON " + strings.ToUpper(p.Kind) + " " + p.Object
}

// hasPrivilege has a query for each kind of object. The answer is NULL if the object does not exist.
var hasPrivilege = map[string]string{
	"schema":   `SELECT CASE WHEN to_regnamespace($2) IS NOT NULL THEN has_schema_privilege($1, $2, $3) END`,
	"table":    `SELECT CASE WHEN to_regclass($2) IS NOT NULL THEN has_table_privilege($1, $2, $3) END`,
	"sequence": `SELECT CASE WHEN to_regclass($2) IS NOT NULL THEN has_sequence_privilege($1, $2, $3) END`,
	"database": `SELECT has_database_privilege($1, (parse_ident($2))[1], $3)`,
}

// Grants returns the steps that give a role the wanted privileges that the role lacks, or all of them if anew is set.
func Grants(ctx context.Context, q Querier, role string, wanted []Privilege, anew bool) (steps []Step, err error) {
	var there bool
	if err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)`, role).Scan(&there); err != nil {
		return nil, fmt.Errorf("look for role %s: %w", role, err)
	}
	if !there {
		return nil, fmt.Errorf("plan installation: there is no role %s, which postgres.url names; create it: CREATE ROLE %s LOGIN PASSWORD '…'", role, identifier(role))
	}
	for _, p := range wanted {
		var is *bool
		if err := q.QueryRow(ctx, hasPrivilege[p.Kind], role, p.Object, p.Name).Scan(&is); err != nil {
			return nil, fmt.Errorf("look at privileges of %s: %w", role, err)
		}
		if is == nil || !*is || anew {
			steps = append(steps, Step{Wrong: fmt.Sprintf("role %s lacks %s", role, p), SQL: "GRANT " + p.String() + " TO " + identifier(role)})
		}
	}
	return steps, nil
}

// grant gives the consumer exactly the privileges that a consumer needs.
func (p *planner) grant(ctx context.Context, q Querier) error {
	if p.want.Consumer == "" {
		return nil
	}
	wanted := []Privilege{{"schema", "cacheproxy", "USAGE"}}
	objects := slices.Clone(shared)
	for _, m := range p.want.Mappings {
		objects = append(objects, struct{ name, privileges string }{m.owed(), "SELECT, UPDATE"})
	}
	for _, o := range objects {
		kind := "table"
		if isSequence(o.name) {
			kind = "sequence"
		}
		for privilege := range strings.SplitSeq(o.privileges, ", ") {
			wanted = append(wanted, Privilege{kind, "cacheproxy." + identifier(o.name), privilege})
		}
	}
	steps, err := Grants(ctx, q, p.want.Consumer, wanted, p.rebuilt)
	p.steps = append(p.steps, steps...)
	return err
}
