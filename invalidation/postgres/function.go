package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxTuples bounds the tuples in one row of the outbox. With more, the row stands for the table.
	maxTuples = 1000
	// maxValue bounds the bytes of a value in a row of the outbox. No name is as long, and a thousand tuples stay far
	// below the limit of PostgreSQL for one array.
	maxValue = 1024
	// maxBytes bounds the bytes of the values in one row of the outbox together. Without a bound, a writer to one table
	// could make the consumer render names for so long that the changes of all other tables wait.
	maxBytes = 128 << 10
	// defaultLimit is the number of waiting rows in the outbox above which writers write none.
	defaultLimit = 100_000
)

// functionSettings are the settings on which the text of a value depends. Each function sets them, so that the session
// that changes the table does not decide how values are written.
//
// A function fails only on faults that stop the database anyway (F3). Its body has three parts:
//
//	gather   Collects the tuples. This part may fail after a change of the table: a column is gone, or an output
//	         function fails. So gather stands in a block of its own, in which a failure makes the row stand for the
//	         table. The block only reads: a subtransaction that writes nothing gets no transaction id, and costs
//	         other sessions nothing. A subtransaction that writes would get an id with each statement: with more
//	         than 64 in a transaction, all snapshots of the server become slower.
//	bound    Decides whether a row is needed, see W1 and W2 in doc.go.
//	insert   Writes one row of constants and of the gathered tuples. The insert can fail on a full disk, or if
//	         somebody has removed the table.
//
// With on_error: lose, and only then, bound and insert stand in a block too. This block writes, and has the cost of a
// subtransaction that writes.
var functionSettings = []string{
	`search_path TO 'pg_catalog', 'pg_temp'`, `"DateStyle" TO 'ISO, YMD'`, `"TimeZone" TO 'UTC'`, `"IntervalStyle" TO 'postgres'`,
	`bytea_output TO 'hex'`, `extra_float_digits TO '1'`,
}

// function is one function as install makes it.
type function struct {
	name   string // in schema cacheproxy
	source string // its body
}

func (f *function) create() string {
	settings := joined(functionSettings, "", func(s string) string { return "\n    SET " + s })
	return fmt.Sprintf("CREATE OR REPLACE FUNCTION cacheproxy.%s() RETURNS trigger\n    LANGUAGE plpgsql SECURITY DEFINER%s\nAS %s",
		identifier(f.name), settings, dollars(f.source))
}

// table is what the functions of a mapping depend on in the catalog.
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

// functionName is the name of the function for an event; row: of the function for replicated rows.
func (m *Mapping) functionName(e Event, row bool) string {
	name := "changed_" + m.digest() + "_" + string(e)
	if row {
		name += "_row"
	}
	return name
}

// functions returns all functions that the mapping needs.
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

// statement returns the body of the function for a whole statement.
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

// collected is SQL for one array of the tuples d, without tuples that are too long: the row stands for the table then,
// and they may exceed the limit of an array.
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

// values is SQL for the columns of a tuple, by their positions.
func (b *builder) values(of string) string {
	var list []string
	for i := range b.Columns {
		list = append(list, fmt.Sprintf("%s.v%d", of, i))
	}
	return strings.Join(list, ", ")
}

// tooLong is SQL for whether a value of the tuple d is longer than maxValue.
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

// tooMuch is SQL for whether the values of all tuples d together are longer than maxBytes.
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

// asText is SQL for the text of a column, for comparisons and for tuples. The text is compared byte by byte, whatever
// the collation, and is written by the output function of the column's type. A cast would not do: a cast may be a
// function of the type's owner, and would run with the rights of the role that installed this function. The owner may
// be of the type that the column has, or of one that the column gets later. Only superusers make output functions. IS
// NULL would not do either: IS NULL is also true of a composite value whose parts are all NULL.
func asText(of, column string) string {
	value := of + "." + identifier(column)
	return "(CASE WHEN " + value + " IS NOT DISTINCT FROM NULL THEN NULL ELSE concat(" + value + `) END) COLLATE "C"`
}

// told is SQL for the columns of a row that a tuple has.
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

// tuples is the query for the tuples of a statement, without duplicates.
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
	// A row has changed if it is among the new rows and not among the old, or the other way round. The primary key is
	// part of the comparison: without the key, two rows that swapped their values would count as unchanged, and the key
	// itself may have changed. The query groups and does not join: PostgreSQL may keep a plan that was made for one
	// row, and a kept grouping handles a million rows as well.
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

// compared are the columns that decide whether an UPDATE has changed a row: the primary key, Watched, and Columns.
func (b *builder) compared() (columns []string) {
	for _, column := range slices.Concat(b.table.primary, b.Watched, b.Columns) {
		if !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
	}
	return columns
}

// row returns the body of the function for one replicated row, which no statement covers.
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

// body puts the rest of a function around the part that gathers the tuples.
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

// indented is code indented by one block.
func indented(code string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(code, "\n"), "\n", "\n    ") + "\n"
}

// owed is the name of the sequence that says whether the tag of the table is owed.
func (m *Mapping) owed() string { return "owed_" + m.digest() }
