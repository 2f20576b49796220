package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxTuples is how many tuples one row of the outbox has at most; with more, it stands for the table.
	maxTuples = 1000
	// maxValue is how many bytes a value in it has at most. No name is as long, and a thousand tuples stay far from what PostgreSQL
	// can have in one array.
	maxValue = 1024
	// maxBytes is how many bytes the values of one row of the outbox have together. Whoever may change one table could have all others
	// wait otherwise, while names are made of its values.
	maxBytes = 128 << 10
	// defaultLimit is with how many rows in the outbox writers write none.
	defaultLimit = 100_000
)

// A function fails on nothing but what stops the database anyway (F3). It has three parts:
//
//	gather   Which tuples. It may fail in ways that a change of the table brings: a column is gone, an output function fails. So it stands in
//	         a block of its own, in which a failure makes the row stand for the table. The block only reads: a subtransaction that
//	         writes nothing gets no transaction id, and costs no other session anything. One that writes would, with each
//	         statement: with more than 64 in a transaction, all snapshots of the server become slower.
//	bound    Whether a row is needed, see W1 and W2 in doc.go.
//	insert   One row of constants and what was gathered. It can fail where a disk is full, or somebody has removed the table.
//
// Only with on_error: lose the last two stand in a block as well, which writes, and costs what that costs.
//
// What a function sets for itself is what texts depend on: who changes the table must not decide how its values are written.
var functionSettings = []string{
	`search_path TO 'pg_catalog', 'pg_temp'`, `"DateStyle" TO 'ISO, YMD'`, `"TimeZone" TO 'UTC'`, `"IntervalStyle" TO 'postgres'`,
	`bytea_output TO 'hex'`, `extra_float_digits TO '1'`,
}

// function is one function as it has to be.
type function struct {
	name   string // in schema cacheproxy
	source string // its body
}

func (f *function) create() string {
	settings := joined(functionSettings, "", func(s string) string { return "\n    SET " + s })
	return fmt.Sprintf("CREATE OR REPLACE FUNCTION cacheproxy.%s() RETURNS trigger\n    LANGUAGE plpgsql SECURITY DEFINER%s\nAS %s",
		identifier(f.name), settings, dollars(f.source))
}

// table is what a mapping has to know of its table as the database has it.
type table struct {
	primary []string // the columns of the primary key
}

// builder makes the functions of one mapping.
type builder struct {
	*Mapping
	table  table
	notify bool
	limit  int // see defaultLimit
}

// functionName is what the function for an event is called; suffix: row, for what is replicated, or nothing.
func (m *Mapping) functionName(e Event, row bool) string {
	name := "changed_" + m.digest() + "_" + string(e)
	if row {
		name += "_row"
	}
	return name
}

// functions are all that the mapping needs.
func (b *builder) functions() (all []function) {
	for _, e := range b.On {
		all = append(all, function{b.functionName(e, false), b.statement(e)})
		if b.Replicated && e != Truncate {
			all = append(all, function{b.functionName(e, true), b.row(e)})
		}
	}
	return all
}

const (
	newRows = "cacheproxy_new"
	oldRows = "cacheproxy_old"
)

// statement is the body of the function for a whole statement.
func (b *builder) statement(e Event) string {
	if e == Truncate {
		return b.body("    _cause := 'truncate';\n")
	}
	gather := fmt.Sprintf(`    BEGIN
        SELECT %s, count(*), bool_or(%s) OR %s INTO _tuples, _count, _long
        FROM (
%s
            LIMIT %d
        ) d;
        IF _count = 0 THEN
            RETURN NULL;
        ELSIF _count > %d THEN
            _tuples := NULL;
            _cause := 'bulk';
        ELSIF _long THEN
            _tuples := NULL;
            _cause := 'long';
        END IF;
    EXCEPTION WHEN OTHERS THEN
        _tuples := NULL;
        _cause := 'error ' || SQLSTATE;
    END;
`, b.collected(), b.tooLong(), b.tooMuch(), b.tuples(e), maxTuples+1, maxTuples)
	return b.body(gather)
}

// collected are the tuples d in one array, without those that are too long: nobody wants them, and they may be more than fits into one.
func (b *builder) collected() string {
	switch columns := b.values("d"); len(b.Columns) {
	case 0:
		return "'{}'::text[]"
	case 1:
		return "array_agg(" + columns + ") FILTER (WHERE NOT (" + b.tooLong() + "))"
	default:
		return "array_agg(ARRAY[" + columns + "]) FILTER (WHERE NOT (" + b.tooLong() + "))"
	}
}

// values are the columns of tuples, by their places.
func (b *builder) values(of string) string {
	var list []string
	for i := range b.Columns {
		list = append(list, fmt.Sprintf("%s.v%d", of, i))
	}
	return strings.Join(list, ", ")
}

// tooLong is whether a value of the tuple d is.
func (b *builder) tooLong() string {
	if len(b.Columns) == 0 {
		return "false"
	}
	lengths := make([]string, len(b.Columns))
	for i := range b.Columns {
		lengths[i] = fmt.Sprintf("octet_length(d.v%d)", i)
	}
	return fmt.Sprintf("coalesce(greatest(%s) > %d, false)", strings.Join(lengths, ", "), maxValue) // greatest ignores NULL
}

// tooMuch is whether the values of all tuples d are.
func (b *builder) tooMuch() string {
	if len(b.Columns) == 0 {
		return "false"
	}
	lengths := make([]string, len(b.Columns))
	for i := range b.Columns {
		lengths[i] = fmt.Sprintf("coalesce(octet_length(d.v%d), 0)", i)
	}
	return fmt.Sprintf("coalesce(sum(%s) > %d, false)", strings.Join(lengths, " + "), maxBytes)
}

// asText is a column as it is compared and told: byte by byte, whatever collation it has, and as the output function of its type writes it.
// A cast may be a function of whoever owns the type, which would then run with the rights of the role that has installed this one: that
// of the column's type now, or of one that it is given later. Only superusers make output functions. IS NULL would be true of a composite
// value of which each part is NULL, too.
func asText(of, column string) string {
	value := of + "." + identifier(column)
	return "(CASE WHEN " + value + " IS NOT DISTINCT FROM NULL THEN NULL ELSE concat(" + value + `) END) COLLATE "C"`
}

// told are the columns of a row that a tuple has.
func (b *builder) told(of string) string {
	list := []string{}
	for i, column := range b.Columns {
		list = append(list, fmt.Sprintf("%s AS v%d", asText(of, column), i))
	}
	if len(list) == 0 {
		return "1 AS v"
	}
	return strings.Join(list, ", ")
}

// tuples is the query for the tuples of a statement, each once.
func (b *builder) tuples(e Event) string {
	const indent = "            "
	from := func(rows string) string { return indent + "SELECT " + b.told("r") + " FROM " + rows + " r" }
	switch {
	case e == Insert:
		return strings.Replace(from(newRows), "SELECT", "SELECT DISTINCT", 1)
	case e == Delete:
		return strings.Replace(from(oldRows), "SELECT", "SELECT DISTINCT", 1)
	case len(b.Watched) == 0:
		return from(newRows) + "\n" + indent + "UNION\n" + from(oldRows)
	}
	// A row has changed where it is among the new rows and not among the old, or the other way round: with its primary key, with
	// which rows that have swapped their values are not taken for unchanged, and which may have changed itself. It is a grouping,
	// and no join: a plan that was made for one row, and is kept, does a million as well.
	compared := b.compared()
	side := func(n, rows string) string {
		list := make([]string, len(compared))
		for i, column := range compared {
			list[i] = fmt.Sprintf("%s AS c%d", asText("r", column), i)
		}
		return indent + "        SELECT " + n + " AS side, " + strings.Join(list, ", ") + " FROM " + rows + " r"
	}
	groups := make([]string, len(compared))
	for i := range compared {
		groups[i] = "b.c" + strconv.Itoa(i)
	}
	values := []string{}
	for i, column := range b.Columns {
		values = append(values, fmt.Sprintf("g.c%d AS v%d", slices.Index(compared, column), i))
	}
	if len(values) == 0 {
		values = []string{"1 AS v"}
	}
	return indent + "SELECT DISTINCT " + strings.Join(values, ", ") + " FROM (\n" +
		indent + "    SELECT " + strings.Join(groups, ", ") + " FROM (\n" +
		side("1", newRows) + "\n" + indent + "        UNION ALL\n" + side("-1", oldRows) + "\n" +
		indent + "    ) b GROUP BY " + strings.Join(groups, ", ") + " HAVING sum(b.side) <> 0\n" +
		indent + ") g"
}

// compared are the columns by which an UPDATE is looked at: those of the primary key, those that are watched, those that are told.
func (b *builder) compared() (columns []string) {
	for _, column := range slices.Concat(b.table.primary, b.Watched, b.Columns) {
		if !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
	}
	return columns
}

// row is the body of the function for one row that is replicated, for which no statement is known.
func (b *builder) row(e Event) string {
	tuple := func(of string) string {
		return joined(b.Columns, ", ", func(column string) string { return asText(of, column) })
	}
	unchanged, told := "", tuple("NEW")
	switch {
	case e == Delete:
		told = tuple("OLD")
	case e == Update && len(b.Watched) > 0:
		told = tuple("OLD") + ", " + told
		unchanged = "        IF " + joined(b.compared(), " AND ", func(column string) string {
			return asText("OLD", column) + " IS NOT DISTINCT FROM " + asText("NEW", column)
		}) + " THEN\n            RETURN NULL;\n        END IF;\n"
	case e == Update:
		told = tuple("OLD") + ", " + told
	}
	if len(b.Columns) == 0 {
		told = ""
	}
	return b.body(fmt.Sprintf(`    BEGIN
%s        _tuples := ARRAY[%s]::text[];
        SELECT bool_or(octet_length(v.v) > %d) INTO _long FROM unnest(_tuples) v(v);
        IF _long THEN
            _tuples := NULL;
            _cause := 'long';
        END IF;
    EXCEPTION WHEN OTHERS THEN
        _tuples := NULL;
        _cause := 'error ' || SQLSTATE;
    END;
`, unchanged, told, maxValue))
}

// body is a function around what gathers the tuples.
func (b *builder) body(gather string) string {
	notify := ""
	if b.notify {
		notify = "    PERFORM pg_notify('cacheproxy', '');\n"
	}
	write := fmt.Sprintf(`    IF pg_sequence_last_value('cacheproxy.outbox_id_seq') - coalesce(pg_sequence_last_value('cacheproxy.consumed'), 0) > %d THEN
        PERFORM FROM cacheproxy.marker m WHERE m.mapping = %[2]s FOR KEY SHARE SKIP LOCKED;
        _marked := FOUND;
    END IF;
    IF NOT _marked THEN
        INSERT INTO cacheproxy.outbox (mapping, width, tuples, cause) VALUES (%[2]s, %[3]d, _tuples, _cause);
    ELSIF pg_sequence_last_value(%[4]s) IS DISTINCT FROM 1 THEN
        PERFORM setval(%[4]s, 1);
    END IF;
%[5]s`, b.limit, literal(b.ID), len(b.Columns), literal("cacheproxy."+identifier(b.owed())), notify)
	if b.Lossy {
		write = "    BEGIN\n" + indented(write) + `    EXCEPTION WHEN OTHERS THEN
        RAISE LOG 'cacheproxy: a change of % is lost: %', ` + literal(b.Schema+"."+b.Table) + `, SQLERRM;
        BEGIN
            PERFORM nextval('cacheproxy.lost');
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END;
`
	}
	return `
DECLARE
    _tuples text[];
    _cause text;
    _count bigint;
    _long boolean;
    _marked boolean := false;
BEGIN
` + gather + write + "    RETURN NULL;\nEND\n"
}

// indented is code in a block.
func indented(code string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(code, "\n"), "\n", "\n    ") + "\n"
}

// owed is what the sequence is called that says whether the tag of the table is owed.
func (m *Mapping) owed() string { return "owed_" + m.digest() }
