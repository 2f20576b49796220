package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Installation is the state that a configuration wants of a database.
type Installation struct {
	Mappings []*Mapping
	Notify   bool
	Consumer string // the role that consumes, and gets the privileges that it lacks; empty: no role gets any
	Parts    []Part // what else is installed, each part in a schema of its own
	Logical         // the slot that tells of changes; empty: triggers tell
	limit    int    // see defaultLimit; zero: defaultLimit
}

// Part is installed in the database with the feed, and is independent of the feed.
type Part interface {
	// Plan returns the steps that create the part, and give role the privileges that role needs. An empty role gets
	// none.
	Plan(ctx context.Context, q Querier, role string) ([]Step, error)
	// Removal returns the steps that remove the part, with its contents.
	Removal(ctx context.Context, q Querier) ([]Step, error)
}

// Step is one statement, and what is wrong until the statement has run.
type Step struct {
	Wrong, SQL string
	After      bool      // runs after the transaction of the other steps, in none
	needs      Privilege // a privilege that the installing role may lack, for the advice when the server refuses
}

// Refusal is a mapping that cannot be installed.
type Refusal struct {
	Mapping *Mapping
	Text    string // what is wrong with the mapping, and what to write instead
}

// Error has everything but the name of the file.
func (r *Refusal) Error() string {
	return fmt.Sprintf("%d: postgres.feeds: table %s.%s %s", r.Mapping.Line, r.Mapping.Schema, r.Mapping.Table, r.Text)
}

// Plan compares the database with the wanted state, and returns the steps that have to run, in this order: in one
// transaction, except for those with After. No steps: the database is as wanted. An error joins a *Refusal for each
// mapping that cannot be installed.
func (want *Installation) Plan(ctx context.Context, q Querier) ([]Step, error) {
	steps, err := want.planFeed(ctx, q)
	for _, part := range want.Parts {
		if err != nil {
			return nil, err
		}
		var more []Step
		more, err = part.Plan(ctx, q, want.Consumer)
		steps = append(steps, more...)
	}
	// Steps outside of the transaction come after the steps of the parts too.
	after := slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return !s.After })
	steps = append(slices.DeleteFunc(steps, func(s Step) bool { return s.After }), after...)
	return steps, err
}

// planFeed plans everything except the parts. If only parts are wanted, nothing is installed for a feed.
func (want *Installation) planFeed(ctx context.Context, q Querier) ([]Step, error) {
	if want.Slot != "" && len(want.Mappings) > 0 {
		return want.planLogical(ctx, q)
	}
	in, err := readInstalled(ctx, q)
	if err != nil {
		return nil, err
	}
	if in.version == 0 && len(want.Mappings) == 0 && len(want.Parts) > 0 {
		return nil, nil
	}
	if in.version > layoutVersion {
		return nil, fmt.Errorf("plan installation: the database has version %d, and this program knows %d; use the program that has installed it, or a later one", in.version, layoutVersion)
	}
	p := &planner{want: want, in: in}
	if err := p.layout(); err != nil {
		return nil, err
	}
	p.remove()
	var refused []error
	for _, m := range want.Mappings {
		if err := p.mapping(ctx, q, m); err != nil {
			if !errors.As(err, new(*Refusal)) {
				return nil, err
			}
			refused = append(refused, err)
		}
	}
	if err := errors.Join(refused...); err != nil {
		return nil, err
	}
	return p.steps, p.grant(ctx, q)
}

type planner struct {
	want    *Installation
	in      *installed
	steps   []Step
	rebuilt bool // the shared tables are made anew, empty and without privileges
}

func updateVersion(version int) string {
	return fmt.Sprintf("UPDATE cacheproxy.installation SET version = %d", version)
}

func (p *planner) step(wrong, sql string) { p.steps = append(p.steps, Step{Wrong: wrong, SQL: sql}) }

// layout plans the objects that all mappings share.
func (p *planner) layout() error {
	for version := p.in.version; version < layoutVersion; version++ {
		wrong := "nothing is installed"
		if p.in.version > 0 {
			wrong = fmt.Sprintf("the installation is of version %d", p.in.version)
		}
		for _, sql := range layouts[version] {
			if sql != createSchema || !p.in.schema { // an administrator may have made the schema
				p.step(wrong, sql)
			}
		}
		if version > 0 {
			p.step(wrong, updateVersion(version+1))
		}
	}
	if p.in.version > 0 {
		for _, s := range shared {
			if !p.in.has(s.name) && (s.name != "covered" || p.in.version >= coveredSince) {
				return fmt.Errorf("plan installation: cacheproxy.%s is missing, and what it held is not known; run cacheproxy pg uninstall, then install", s.name)
			}
		}
	}
	if p.in.version == layoutVersion {
		p.shape()
	}
	if p.in.notify != p.want.Notify {
		p.step(fmt.Sprintf("notify is %t", p.in.notify), fmt.Sprintf("UPDATE cacheproxy.installation SET notify = %t", p.want.Notify))
	}
	return nil
}

// remove plans the removal of mappings that are not wanted. The tag that a mapping may owe is written as a row before
// its marker goes. Creating and dropping triggers waits for transactions that are changing the table, so no writer runs
// between the old triggers and the new ones.
func (p *planner) remove() {
	wanted := func(id string) bool {
		return slices.ContainsFunc(p.want.Mappings, func(m *Mapping) bool { return m.ID == id })
	}
	for _, id := range slices.Sorted(maps.Keys(p.in.markers)) {
		if wanted(id) {
			continue
		}
		wrong := "table " + tableOf(id) + " has triggers of another configuration"
		m := &Mapping{ID: id}
		p.dropFunctions(m, wrong)
		p.step(wrong, "INSERT INTO cacheproxy.outbox (mapping, width, cause) VALUES ("+literal(id)+", 0, 'removed')")
		p.step(wrong, "DELETE FROM cacheproxy.marker WHERE mapping = "+literal(id))
		p.step(wrong, "DELETE FROM cacheproxy.covered WHERE mapping = "+literal(id))
		p.step(wrong, "DROP SEQUENCE IF EXISTS cacheproxy."+identifier(m.owed()))
	}
}

// dropFunctions plans the removal of a mapping's functions. CASCADE removes the triggers too: DROP TRIGGER would take
// the owner of the table.
func (p *planner) dropFunctions(m *Mapping, wrong string) {
	for _, name := range slices.Sorted(maps.Keys(p.in.functions)) {
		if strings.HasPrefix(name, "changed_"+m.digest()+"_") {
			p.drop(name, wrong)
		}
	}
}

func (p *planner) drop(function, wrong string) {
	p.step(wrong, "DROP FUNCTION cacheproxy."+identifier(function)+"() CASCADE")
	delete(p.in.functions, function)
	p.in.triggers = slices.DeleteFunc(p.in.triggers, func(t installedTrigger) bool { return t.Function == function })
}

// mapping plans one mapping: its sequence, its marker, its functions, and the triggers on every table that holds its
// rows.
func (p *planner) mapping(ctx context.Context, q Querier, m *Mapping) error {
	relations, columns, t, err := readTable(ctx, q, m.Schema, m.Table)
	if err != nil {
		return err
	}
	if err := check(m, relations, columns, t); err != nil {
		return err
	}
	b := &builder{Mapping: m, table: t, notify: p.want.Notify, limit: p.want.limit}
	if b.limit == 0 {
		b.limit = defaultLimit
	}
	name := m.Schema + "." + m.Table
	if !p.in.has(m.owed()) {
		p.step(name+" has no sequence", fmt.Sprintf("CREATE SEQUENCE cacheproxy.%s MINVALUE 0 MAXVALUE 1 START 0", identifier(m.owed())))
	}
	if d := differences(p.in.shapes[m.owed()], owedShape); d != "" && p.in.has(m.owed()) {
		wrong := "cacheproxy." + m.owed() + ": " + d
		p.sequence(wrong, m.owed(), "MINVALUE 0 MAXVALUE 1 START 0 RESTART 0")
		p.step(wrong, "SELECT pg_catalog.setval("+literal("cacheproxy."+identifier(m.owed()))+", 1)")
	}
	lossy, marked := p.in.markers[m.ID]
	if !marked || p.rebuilt {
		p.step(name+" has no marker", fmt.Sprintf("INSERT INTO cacheproxy.marker (mapping, owed, lossy) VALUES (%s, %s, %t)", literal(m.ID), literal("cacheproxy."+identifier(m.owed())), m.Lossy))
	} else if lossy != m.Lossy {
		p.step(fmt.Sprintf("%s has another on_error", name), fmt.Sprintf("UPDATE cacheproxy.marker SET lossy = %t WHERE mapping = %s", m.Lossy, literal(m.ID)))
	}
	mended := len(p.steps)
	for _, f := range b.functions() {
		p.function(f, name)
	}
	for _, r := range relations {
		p.triggers(m, r)
	}
	if len(p.steps) > mended {
		p.whole(m, p.steps[mended].Wrong)
	}
	p.covered(m, relations)
	if !marked {
		p.whole(m, name+" has no marker")
	}
	return nil
}

// whole writes a row for the table, for the changes that were made before the triggers were right. Creating and
// enabling a trigger waits for transactions that are changing the table, so these changes are visible when the row is.
func (p *planner) whole(m *Mapping, wrong string) {
	sql := "INSERT INTO cacheproxy.outbox (mapping, width, cause) VALUES (" + literal(m.ID) + ", 0, 'installed')"
	if !slices.ContainsFunc(p.steps, func(s Step) bool { return s.SQL == sql }) {
		p.step(wrong, sql)
	}
}

// covered records the relations that have the triggers. A different set means that rows have come or gone without a
// statement that fires a trigger: a table replaced another, perhaps one with the same triggers, or a partition was
// attached or detached.
func (p *planner) covered(m *Mapping, relations []relation) {
	var oids []uint32
	for _, r := range relations {
		oids = append(oids, r.OID)
	}
	slices.Sort(oids)
	is, noted := p.in.covered[m.ID]
	if slices.Equal(is, oids) {
		return
	}
	wrong := m.Schema + "." + m.Table + " is not the table that it was installed on, or has other partitions or children"
	if !noted {
		wrong = "on which relations the triggers of " + m.Schema + "." + m.Table + " are is not noted"
	}
	p.whole(m, wrong)
	p.step(wrong, fmt.Sprintf("INSERT INTO cacheproxy.covered (mapping, relations) VALUES (%s, '{%s}') ON CONFLICT (mapping) DO UPDATE SET relations = excluded.relations",
		literal(m.ID), joined(oids, ",", func(oid uint32) string { return fmt.Sprint(oid) })))
}

// check refuses mappings for which triggers cannot be made.
func check(m *Mapping, relations []relation, columns []string, t table) error {
	refuse := func(format string, args ...any) error { return &Refusal{m, fmt.Sprintf(format, args...)} }
	if len(relations) == 0 {
		return refuse("does not exist; write schema.table as the database has it, letter by letter")
	}
	switch relations[0].Kind {
	case "r", "p":
	case "v", "m":
		return refuse("is a view, whose rows change without it; write the tables that it is made of")
	default:
		return refuse("is not a table that PostgreSQL keeps; write one that is")
	}
	for _, r := range relations {
		if r.Unlogged {
			return refuse("has its rows in the UNLOGGED table %s, which a crash of the server empties without telling; run ALTER TABLE %s SET LOGGED", r.String(), qualified(r.Schema, r.Name))
		}
	}
	for _, r := range relations[1:] {
		if r.Kind == "f" {
			return refuse("has the foreign table %s among its partitions or children, where PostgreSQL refuses the triggers' work; detach it, or name the other tables one by one", r.String())
		}
	}
	for _, column := range slices.Concat(m.Watched, m.Columns) {
		if !slices.Contains(columns, column) {
			return refuse("has no column %s; it has %s", identifier(column), joined(columns, ", ", identifier))
		}
	}
	if len(m.Watched) > 0 && len(t.primary) == 0 {
		return refuse("has no primary key, by which the rows before and after an update find each other; add one, or remove columns")
	}
	return nil
}

// function plans one function, and the privileges that its owner needs.
func (p *planner) function(f function, name string) {
	is, there := p.in.functions[f.name]
	if there && p.rebuilt {
		p.step(name+" has no place to write to", "GRANT INSERT ON cacheproxy.outbox TO "+identifier(is.Owner))
	}
	switch wrong := ""; {
	case !there:
		wrong = name + " has no function " + f.name
		fallthrough
	case is.Source != f.source, !is.Definer, !sameSettings(is.Settings):
		if wrong == "" {
			wrong = "function " + f.name + " of " + name + " is not as this configuration and program have it"
		}
		p.step(wrong, f.create())
		if !there || is.Public {
			p.step(wrong, "REVOKE ALL ON FUNCTION cacheproxy."+identifier(f.name)+"() FROM PUBLIC")
		}
	case !is.Writes:
		p.step("the owner of function "+f.name+" may not write to cacheproxy.outbox", "GRANT INSERT ON cacheproxy.outbox TO "+identifier(is.Owner))
	case is.Public:
		p.step("function "+f.name+" can be used in triggers of anybody", "REVOKE ALL ON FUNCTION cacheproxy."+identifier(f.name)+"() FROM PUBLIC")
	}
}

// sameSettings reports whether the settings of a function in the catalog are functionSettings.
func sameSettings(is []string) bool {
	var want []string
	for _, s := range functionSettings {
		name, value, _ := strings.Cut(s, " TO ")
		if name = strings.Trim(name, `"`); name == "search_path" {
			value = strings.ReplaceAll(value, "'", `"`)
			value = strings.ReplaceAll(value, `"pg_catalog"`, "pg_catalog")
			value = strings.ReplaceAll(value, `"pg_temp"`, "pg_temp")
		}
		want = append(want, name+"="+strings.Trim(value, "'"))
	}
	slices.Sort(want)
	return slices.Equal(want, slices.Sorted(slices.Values(is)))
}
