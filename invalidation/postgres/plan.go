package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Installation is what a configuration wants of a database.
type Installation struct {
	Mappings []*Mapping
	Notify   bool
	Consumer string // the role that consumes; it is given what it lacks. Empty: nobody is
	limit    int    // see defaultLimit; zero: that
}

// Step is one statement, and what is wrong as long as it has not run.
type Step struct{ Wrong, SQL string }

// Refusal is a mapping that cannot be installed.
type Refusal struct {
	Mapping *Mapping
	Text    string // what is wrong with it, and what to write instead
}

// Error tells all but the file.
func (r *Refusal) Error() string {
	return fmt.Sprintf("%d: postgres.feeds: table %s.%s %s", r.Mapping.Line, r.Mapping.Schema, r.Mapping.Table, r.Text)
}

// Plan compares the database with what is wanted, and says what has to run, in one transaction and in this order; nothing, where all is
// well. An error joins a *Refusal for each mapping that cannot be installed.
func (want *Installation) Plan(ctx context.Context, q querier) ([]Step, error) {
	in, err := readInstalled(ctx, q)
	if err != nil {
		return nil, err
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
	want  *Installation
	in    *installed
	steps []Step
}

func (p *planner) step(wrong, sql string) { p.steps = append(p.steps, Step{wrong, sql}) }

// layout is what all mappings share.
func (p *planner) layout() error {
	for version := p.in.version; version < layoutVersion; version++ {
		wrong := "nothing is installed"
		if version > 0 {
			wrong = fmt.Sprintf("the installation is of version %d", version)
		}
		for _, sql := range layouts[version] {
			if sql != createSchema || !p.in.schema { // somebody else may have made it, for a role that may not
				p.step(wrong, sql)
			}
		}
		if version > 0 {
			p.step(wrong, fmt.Sprintf("UPDATE cacheproxy.installation SET version = %d", version+1))
		}
	}
	if p.in.version > 0 {
		for _, s := range shared {
			if !p.in.has(s.name) {
				return fmt.Errorf("plan installation: cacheproxy.%s is missing, and what it held is not known; run cacheproxy pg uninstall, then install", s.name)
			}
		}
	}
	if p.in.notify != p.want.Notify {
		p.step(fmt.Sprintf("notify is %t", p.in.notify), fmt.Sprintf("UPDATE cacheproxy.installation SET notify = %t", p.want.Notify))
	}
	return nil
}

// remove takes away mappings that are wanted no more. What they may owe is told before their marker goes: creating and dropping
// triggers waits for whoever is changing the table, so that no writer is between the old triggers and the new ones.
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
		p.step(wrong, "DROP SEQUENCE IF EXISTS cacheproxy."+identifier(m.owed()))
	}
}

// dropFunctions takes away a mapping's functions and, since they depend on them, its triggers: dropping a trigger by itself takes the
// owner of the table.
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

// mapping is one mapping: its sequence and marker, its functions, and the triggers on every table in which its rows are.
func (p *planner) mapping(ctx context.Context, q querier, m *Mapping) error {
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
	lossy, marked := p.in.markers[m.ID]
	if !marked {
		p.step(name+" has no marker", fmt.Sprintf("INSERT INTO cacheproxy.marker (mapping, owed, lossy) VALUES (%s, %s, %t)", literal(m.ID), literal("cacheproxy."+identifier(m.owed())), m.Lossy))
		// What has changed before there were triggers is told by nobody.
		p.step(name+" has no marker", "INSERT INTO cacheproxy.outbox (mapping, width, cause) VALUES ("+literal(m.ID)+", 0, 'installed')")
	} else if lossy != m.Lossy {
		p.step(fmt.Sprintf("%s has another on_error", name), fmt.Sprintf("UPDATE cacheproxy.marker SET lossy = %t WHERE mapping = %s", m.Lossy, literal(m.ID)))
	}
	for _, f := range b.functions() {
		p.function(f, name)
	}
	for _, r := range relations {
		p.triggers(b, r)
	}
	return nil
}

// check refuses mappings that no trigger can be made for.
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

// function is one function as it has to be, or is.
func (p *planner) function(f function, name string) {
	is, there := p.in.functions[f.name]
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

// sameSettings compares what a function sets for itself, as the catalog has it.
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

// wantedTrigger is one trigger as it has to be.
type wantedTrigger struct {
	name, function, clause string
	kind                   int16  // pg_trigger.tgtype
	enabled                string // pg_trigger.tgenabled
}

// The bits of pg_trigger.tgtype: a trigger after a statement has none of the others.
var triggerBits = map[Event]int16{Insert: 4, Delete: 8, Update: 16, Truncate: 32}

// triggers are those of one table. A statement fires those of the table that it names, and of no other: neither those of a partition when it
// names the parent, nor the other way round. So each has its own. Replication names no table: it brings rows, which fire the triggers
// of rows alone, where the rows are.
func (p *planner) triggers(b *builder, r relation) {
	for _, e := range b.On {
		clause := fmt.Sprintf("AFTER %s ON %s", strings.ToUpper(string(e)), qualified(r.Schema, r.Name))
		rows := map[Event]string{
			Insert: " REFERENCING NEW TABLE AS " + newRows, Delete: " REFERENCING OLD TABLE AS " + oldRows,
			Update: " REFERENCING OLD TABLE AS " + oldRows + " NEW TABLE AS " + newRows,
		}[e]
		t := wantedTrigger{"cacheproxy_" + b.digest() + "_" + string(e), b.functionName(e, false), clause + rows + " FOR EACH STATEMENT", triggerBits[e], "O"}
		if b.Replicated && e == Truncate {
			t.enabled = "A" // replication has it as a statement
		}
		p.trigger(t, r)
		if b.Replicated && e != Truncate && r.Kind == "r" {
			p.trigger(wantedTrigger{t.name + "_row", b.functionName(e, true), clause + " FOR EACH ROW", triggerBits[e] | 1, "R"}, r)
		}
	}
}

func (p *planner) trigger(want wantedTrigger, r relation) {
	on := qualified(r.Schema, r.Name)
	create := fmt.Sprintf("CREATE TRIGGER %s %s EXECUTE FUNCTION cacheproxy.%s()", identifier(want.name), want.clause, identifier(want.function))
	enable := fmt.Sprintf("ALTER TABLE %s ENABLE %sTRIGGER %s", on, map[string]string{"A": "ALWAYS ", "R": "REPLICA "}[want.enabled], identifier(want.name))
	i := slices.IndexFunc(p.in.triggers, func(t installedTrigger) bool { return t.Relation == r.OID && t.Function == want.function })
	if i < 0 {
		wrong := r.String() + " has no trigger " + want.name
		if p.step(wrong, create); want.enabled != "O" {
			p.step(wrong, enable)
		}
		return
	}
	is := p.in.triggers[i]
	rows := [2]string{is.OldTable, is.NewTable}
	wantRows := [2]string{}
	if strings.Contains(want.clause, "OLD TABLE") {
		wantRows[0] = oldRows
	}
	if strings.Contains(want.clause, "NEW TABLE") {
		wantRows[1] = newRows
	}
	switch {
	case is.Type != want.kind || rows != wantRows || is.Name != want.name:
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
		} else if missing {
			p.step(fmt.Sprintf("role %s lacks %s", role, g.sql), "GRANT "+g.sql+" TO "+identifier(role))
		}
	}
	return nil
}

// lockTimeout is how long an install waits for whoever is changing a table: everybody who comes later waits behind it.
const lockTimeout = "5s"

// Begin are the statements that a plan begins with, in its transaction. One install waits for another.
func Begin() []string {
	return []string{"BEGIN", "SET LOCAL lock_timeout = '" + lockTimeout + "'", "SET LOCAL search_path = ''", "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('cacheproxy.installation'))"}
}

// Install brings the database to what is wanted, in one transaction, and says what it did.
func (want *Installation) Install(ctx context.Context, conn *pgx.Conn) ([]Step, error) {
	return run(ctx, conn, want.Plan)
}

// run carries out a plan that is made in its own transaction.
func run(ctx context.Context, conn *pgx.Conn, plan func(context.Context, querier) ([]Step, error)) ([]Step, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit, there is nothing to roll back
	for _, sql := range Begin()[1:] {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("run %s: %w", sql, err)
		}
	}
	steps, err := plan(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		if _, err := tx.Exec(ctx, s.SQL); err != nil {
			return nil, fmt.Errorf("run %s: %w", firstLine(s.SQL), err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return steps, nil
}

func firstLine(sql string) string {
	line, _, _ := strings.Cut(sql, "\n")
	return line
}

// planRemoval says what takes away all that install has made, and nothing else: what others have put into the schema keeps it there.
func planRemoval(ctx context.Context, q querier) ([]Step, error) {
	in, err := readInstalled(ctx, q)
	if err != nil || !in.schema {
		return nil, err
	}
	p := &planner{in: in}
	const wrong = "is installed"
	for _, name := range slices.Sorted(maps.Keys(in.functions)) {
		if ours(name) {
			p.drop(name, wrong)
		}
	}
	others := 0
	for _, name := range in.objects {
		switch {
		case !ours(name):
			others++
		case name == "outbox_id_seq": // goes with its table
		case isSequence(name):
			p.step(wrong, "DROP SEQUENCE cacheproxy."+identifier(name))
		default:
			p.step(wrong, "DROP TABLE cacheproxy."+identifier(name))
		}
	}
	for name := range in.functions {
		if !ours(name) {
			others++
		}
	}
	if others == 0 {
		p.step(wrong, "DROP SCHEMA cacheproxy")
	}
	return p.steps, nil
}

// Remove takes away all that install has made, in one transaction.
func Remove(ctx context.Context, conn *pgx.Conn) ([]Step, error) { return run(ctx, conn, planRemoval) }
