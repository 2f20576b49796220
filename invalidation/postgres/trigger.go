package postgres

import (
	"fmt"
	"slices"
	"strings"
)

// wantedTrigger is one trigger as install makes it.
type wantedTrigger struct {
	name, function, clause string
	kind                   int16  // pg_trigger.tgtype
	enabled                string // pg_trigger.tgenabled
}

// triggerBits are bits of pg_trigger.tgtype. A trigger AFTER a statement has none of the other bits.
var triggerBits = map[Event]int16{Insert: 4, Delete: 8, Update: 16, Truncate: 32}

// triggers returns the triggers of one table. A statement fires only the triggers of the table that the statement
// names: not those of a partition when the statement names the parent, nor the other way round. So each table has its
// own. Replication names no table: replication brings rows, which fire row triggers alone, of the table that holds the
// rows.
func (m *Mapping) triggers(r relation) (all []wantedTrigger) {
	for _, e := range m.On {
		clause := fmt.Sprintf("AFTER %s ON %s", strings.ToUpper(string(e)), qualified(r.Schema, r.Name))
		rows := map[Event]string{
			Insert: " REFERENCING NEW TABLE AS " + newRows, Delete: " REFERENCING OLD TABLE AS " + oldRows,
			Update: " REFERENCING OLD TABLE AS " + oldRows + " NEW TABLE AS " + newRows,
		}[e]
		t := wantedTrigger{"cacheproxy_" + m.digest() + "_" + string(e), m.functionName(e, false), clause + rows + " FOR EACH STATEMENT", triggerBits[e], "O"}
		if m.Replicated && e == Truncate {
			t.enabled = "A" // replication applies TRUNCATE as a statement
		}
		all = append(all, t)
		if m.Replicated && e != Truncate && r.Kind == "r" {
			all = append(all, wantedTrigger{t.name + "_row", m.functionName(e, true), clause + " FOR EACH ROW", triggerBits[e] | 1, "R"})
		}
	}
	return all
}

func (p *planner) triggers(m *Mapping, r relation) {
	for _, t := range m.triggers(r) {
		p.trigger(t, r)
	}
}

// rows are the names of the transition tables that the trigger gives its function: of old rows, of new rows.
func (t *wantedTrigger) rows() (names [2]string) {
	if strings.Contains(t.clause, "OLD TABLE") {
		names[0] = oldRows
	}
	if strings.Contains(t.clause, "NEW TABLE") {
		names[1] = newRows
	}
	return names
}

func (p *planner) trigger(want wantedTrigger, r relation) {
	on := qualified(r.Schema, r.Name)
	create := fmt.Sprintf("CREATE TRIGGER %s %s EXECUTE FUNCTION cacheproxy.%s()", identifier(want.name), want.clause, identifier(want.function))
	enable := fmt.Sprintf("ALTER TABLE %s ENABLE %sTRIGGER %s", on, map[string]string{"A": "ALWAYS ", "R": "REPLICA "}[want.enabled], identifier(want.name))
	i := slices.IndexFunc(p.in.triggers, func(t installedTrigger) bool { return t.Relation == r.OID && t.Name == want.name })
	if i < 0 { // somebody may have renamed the trigger
		i = slices.IndexFunc(p.in.triggers, func(t installedTrigger) bool {
			return t.Relation == r.OID && t.Function == want.function && !strings.HasPrefix(t.Name, "cacheproxy_")
		})
	}
	if i < 0 {
		wrong := r.String() + " has no trigger " + want.name
		p.step(wrong, create)
		if p.steps[len(p.steps)-1].needs = (Privilege{"table", on, "TRIGGER"}); want.enabled != "O" {
			p.step(wrong, enable)
		}
		return
	}
	is := p.in.triggers[i]
	rows := [2]string{is.OldTable, is.NewTable}
	switch {
	case is.Type != want.kind || rows != want.rows() || is.Function != want.function || is.Name != want.name:
		wrong := "trigger " + is.Name + " of " + r.String() + " is not as install makes it"
		p.step(wrong, fmt.Sprintf("DROP TRIGGER %s ON %s", identifier(is.Name), on))
		if p.step(wrong, create); want.enabled != "O" {
			p.step(wrong, enable)
		}
	case is.Enabled != want.enabled:
		p.step(fmt.Sprintf("trigger %s of %s is %s", is.Name, r.String(), map[string]string{
			"D": "disabled", "O": "enabled for sessions of origin only", "R": "enabled for replication only", "A": "enabled for replication too"}[is.Enabled]), enable)
	}
}
