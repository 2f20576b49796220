package feed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

const (
	// pageRows and pageBytes bound a page.
	pageRows, pageBytes = 1000, 8 << 20
	// rowBytes is how much of one row is read, in bytes as stored. A longer row counts as the whole of its mapping.
	rowBytes = 1 << 20
)

// row is one row of the outbox.
type row struct {
	id      int64
	xid     string
	mapping *string
	width   *int32
	// values are tuples of width each, one after the other; nil: everything that the mapping can name.
	values pgtype.FlatArray[*string]
	long   bool          // values is left out, since it is too long
	age    time.Duration // since the row was written, by the server's clock
	read   time.Time
}

// snapshot says which transactions had ended at a look (pg_current_snapshot): all below limit, except for running.
type snapshot struct {
	limit   string   // the first transaction that had not begun
	running []string // top-level transactions below limit that had not ended
	server  string   // the server whose transactions these are
}

// parseSnapshot parses xmin:xmax:xip,….
func parseSnapshot(text, server string) (snapshot, error) {
	parts := strings.SplitN(text, ":", 3)
	if len(parts) != 3 {
		return snapshot{}, fmt.Errorf("the server's snapshot reads %.40q", text)
	}
	s := snapshot{limit: parts[1], server: server}
	if parts[2] != "" {
		s.running = strings.Split(parts[2], ",")
	}
	return s, nil
}

// older reports whether s cannot be later than t on the same server. The server was then set back, or is another one,
// and the two snapshots cannot be compared.
func (s snapshot) older(t snapshot) bool {
	return s.server != t.server || len(s.limit) < len(t.limit) || len(s.limit) == len(t.limit) && s.limit < t.limit
}

// scope restricts a look to rows of transactions that had not ended at the look before. Each row has the number of its
// transaction. The look before returned each row that its snapshot could see. Any other row is of a transaction that
// was running then, or had not begun. So no row is passed over, however late its transaction commits.
//
// The scope also keeps a look away from dead rows. A foreign transaction of an hour keeps the server from removing dead
// rows, and a look at everything would read past all of them. With a scope, a look finds its place in the index of
// (xid, id) in a few steps. The table has no other index, which the planner could choose by mistake: if all rows of a
// table are dead, the planner believes that each index has the same cost, and so has a scan of a whole index. For the
// same reason, rows are looked up one by one (lateral, limit), and not joined.
type scope struct {
	xids  []string // transactions whose rows may have become visible
	after []int64  // for each of xids, the id up to which its rows were read
	// All rows after (fromXID, fromID) are in scope, which are those of later transactions.
	fromXID string
	fromID  int64
	// waiting are ids of rows that were seen and left for another instance; waitXIDs are their transactions.
	waiting  []int64
	waitXIDs []string
}

// everything is the scope of the first look.
func everything() scope { return scope{fromXID: "0", fromID: math.MinInt64} }

// since is the scope of a look that follows a look with snapshot s.
func since(s snapshot, waiting map[int64]left) scope {
	after := slices.Repeat([]int64{math.MinInt64}, len(s.running))
	next := scope{xids: slices.Clone(s.running), after: after, fromXID: s.limit, fromID: math.MinInt64}
	for id, l := range waiting {
		next.waiting, next.waitXIDs = append(next.waiting, id), append(next.waitXIDs, l.xid)
	}
	return next
}

// past moves the scope past rows that were read.
func (s *scope) past(rows []row) {
	s.waiting, s.waitXIDs = nil, nil
	for _, r := range rows {
		for i, xid := range s.xids {
			if r.xid == xid {
				s.after[i] = max(s.after[i], r.id)
			}
		}
		if later(r, s.fromXID, s.fromID) {
			s.fromXID, s.fromID = r.xid, r.id
		}
	}
}

// later reports whether a row comes after a place in the order of (xid, id).
func later(r row, xid string, id int64) bool {
	if r.xid == xid {
		return r.id > id
	}
	return len(r.xid) > len(xid) || len(r.xid) == len(xid) && r.xid > xid
}

// columns are the columns of a row in a look. The casts fix the types, whatever somebody has altered in the table.
const columns = `outbox.id::bigint, outbox.xid::text, mapping::text, width::int,
	case when pg_column_size(tuples) <= $6 then tuples::text[] end,
	coalesce(pg_column_size(tuples) > $6, false),
	case when isfinite(at) then extract(epoch from clock_timestamp() - at) else 0 end::float8`

// lookSQL is one statement, and so has one snapshot. The first row of the answer has the snapshot; the last rows are
// the markers. Row security would hide rows, and an outbox with waiting rows would look empty. The setting row_security
// = off, which makes hidden rows an error, does not reach through a pooler, so the look asks.
const lookSQL = `select (select last_value from cacheproxy.outbox_id_seq)::bigint, null::text,
	(select case when is_called then last_value else -1 end from cacheproxy.consumed)::text, null::int, null::text[],
	row_security_active('cacheproxy.outbox'::regclass) or row_security_active('cacheproxy.marker'::regclass),
	(select case when is_called then last_value else 0 end from cacheproxy.lost)::float8,
	pg_current_snapshot()::text, extract(epoch from pg_postmaster_start_time())::text
union all
select o.*, null, null from unnest($1::text[], $2::bigint[]) as r(x, after), lateral (
	select ` + columns + ` from cacheproxy.outbox where outbox.xid = r.x::xid8 and outbox.id > r.after order by outbox.id limit $7) o
union all
select o.*, null, null from (
	select ` + columns + ` from cacheproxy.outbox where (outbox.xid, outbox.id) > ($3::text::xid8, $4::bigint) order by outbox.xid, outbox.id limit $7) o
union all
select o.*, null, null from unnest($8::text[], $5::bigint[]) as w(x, id), lateral (
	select ` + columns + ` from cacheproxy.outbox where outbox.xid = w.x::xid8 and outbox.id = w.id limit 1) o
union all
select case coalesce(pg_sequence_last_value(owed), 0) when 1 then 1 else 0 end, null, mapping::text, null, null, true, 0, null, null
	from cacheproxy.marker`

// page is the result of a look.
type page struct {
	rows []row
	seen snapshot
	last int64           // the last id that the sequence gave out
	mark int64           // cacheproxy.consumed; negative: never set
	lost float64         // statements whose changes nothing tells of
	owed map[string]bool // by id of the installed mappings: whether the tag of the table is owed
	full bool            // the scope may have more
	cut  bool            // the page may lack rows that are in waiting
}

// look reads a page of the rows in scope.
func look(ctx context.Context, conn *pgx.Conn, s scope) (p page, err error) {
	found, err := conn.Query(ctx, lookSQL, s.xids, s.after, s.fromXID, s.fromID, s.waiting, int32(rowBytes), int32(pageRows), s.waitXIDs)
	if absent(err) {
		return p, fmt.Errorf("%w: %w", errNothingInstalled, err)
	}
	if err != nil {
		return p, fmt.Errorf("look into the outbox: %w", err)
	}
	defer found.Close()
	p.owed = map[string]bool{}
	bytes, known, of := 0, map[int64]bool{}, map[string]int{} // of: rows by transaction; "": later ones
	for found.Next() {
		var r row
		var age float64
		var xid, snap, server *string
		if err := found.Scan(&r.id, &xid, &r.mapping, &r.width, &r.values, &r.long, &age, &snap, &server); err != nil {
			return p, fmt.Errorf("read a row of the outbox: %w", err)
		}
		switch {
		case snap != nil && server != nil && r.long:
			return p, errHidden
		case snap != nil && server != nil:
			p.last, p.lost = r.id, age
			if r.mapping != nil {
				p.mark, _ = strconv.ParseInt(*r.mapping, 10, 64) // the query casts a number
			}
			if p.seen, err = parseSnapshot(*snap, *server); err != nil {
				return p, err
			}
			continue
		case xid == nil && r.mapping != nil:
			p.owed[*r.mapping] = r.id == 1
			continue
		case xid == nil || known[r.id]:
			continue
		case bytes > pageBytes:
			p.full, p.cut = true, true // each part of a page is ordered: the next look reads the rest
			continue
		}
		r.xid, r.age, r.read = *xid, time.Duration(age*float64(time.Second)), time.Now()
		known[r.id] = true
		p.rows = append(p.rows, r)
		for _, v := range r.values {
			bytes += 16
			if v != nil {
				bytes += len(*v)
			}
		}
		part := r.xid
		if later(r, s.fromXID, s.fromID) {
			part = ""
		}
		of[part]++
		p.full = p.full || of[part] >= pageRows
	}
	switch err := found.Err(); {
	case absent(err):
		return p, fmt.Errorf("%w: %w", errNothingInstalled, err)
	case err != nil:
		return p, fmt.Errorf("look into the outbox: %w", err)
	case p.seen.limit == "":
		return p, errNoSnapshot
	}
	return p, nil
}

// absent reports whether err says that a table or a schema does not exist.
func absent(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "42P01" || pg.Code == "3F000") // undefined_table, invalid_schema_name
}

var (
	errNothingInstalled = errors.New("look into the outbox: it is not installed in this database; run: cacheproxy pg install")
	errNoSnapshot       = errors.New("look into the outbox: the server has sent no snapshot")
	errHidden           = errors.New("look into the outbox: row security hides rows of cacheproxy.outbox or cacheproxy.marker from this role; run: cacheproxy pg install")
)
