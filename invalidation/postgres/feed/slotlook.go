package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"cacheproxy/invalidation/postgres/pgoutput"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// pageChanges is how many changes a look reads, besides the rest of the transaction that exceeds it. mostChanges
	// bounds a look that has to read past transactions that are not visible.
	pageChanges, mostChanges = 10_000, 1 << 20
	// changeBytes is how much of one message is read. A longer message counts as the whole of its table.
	changeBytes = 1 << 20
	// slotTimeoutMost bounds how long a look into a slot may take. A transaction of many million rows may take longer
	// than the timeout: each timeout doubles the next one, up to this bound.
	slotTimeoutMost = time.Hour
	// restMost bounds the pause that a pass makes for the sake of the server, after its looks have made the server
	// decode. decodeLeast is the least speed of decoding, in bytes of log per second, that a look is believed: a look
	// that took longer has waited, and the server is owed no pause for a wait.
	restMost, decodeLeast = 2 * time.Second, 4 << 20
	// busyTries is how often a look is repeated while another session reads the slot. busyPause lies between two tries.
	busyTries, busyPause = 10, 3 * time.Millisecond
)

// factsSQL reads the server and the slot. The timeline is read from the name of a WAL file: the control file has the
// timeline of a promotion only later. The function pg_get_replication_slots is several times faster than the view above
// it, whose plan is lost with each decoding. settings has the settings on which texts depend, as triggers have them
// (postgres.functionSettings). They hold for this transaction alone, so that they do no harm behind a pooler.
const (
	factsSQL = `select (select system_identifier from pg_catalog.pg_control_system())::text, left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8),
	(pg_catalog.pg_current_wal_flush_lsn() - '0/0')::bigint, (pg_catalog.pg_current_wal_insert_lsn() - '0/0')::bigint, s.slot_name is not null,
	coalesce(s.plugin = 'pgoutput' and s.datoid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()), false),
	coalesce(s.wal_status, ''), coalesce((s.confirmed_flush_lsn - '0/0')::bigint, 0), coalesce((s.restart_lsn - '0/0')::bigint, 0), ` + settings + `
	from (select) one left join pg_catalog.pg_get_replication_slots() s on s.slot_name = $1`
	settings = `pg_catalog.set_config('DateStyle', 'ISO, YMD', true) || pg_catalog.set_config('TimeZone', 'UTC', true) || pg_catalog.set_config('IntervalStyle', 'postgres', true)
	|| pg_catalog.set_config('bytea_output', 'hex', true) || pg_catalog.set_config('extra_float_digits', '1', true) || pg_catalog.set_config('search_path', 'pg_catalog', true)`
)

const peekSQL = `select octet_length(data), substr(data, 1, $4) from pg_catalog.pg_logical_slot_peek_binary_changes($1, null, $2, 'proto_version', '1', 'publication_names', $3, 'messages', 'true')`

// seenSQL runs after the peek. So a decoded transaction that is not visible in this snapshot was not visible at the
// peek either. The time since the transaction began (now) is what the server has spent on the look: a network that
// stands still, or a client that is frozen, adds nothing to it.
const seenSQL = `select pg_catalog.pg_current_snapshot()::text, extract(epoch from pg_catalog.pg_postmaster_start_time())::text, extract(epoch from clock_timestamp())::float8,
	extract(epoch from clock_timestamp() - pg_catalog.now())::float8, (select (confirmed_flush_lsn - '0/0')::bigint from pg_catalog.pg_get_replication_slots() where slot_name = $1)`

// slotFacts describe a slot, and the server that has the slot.
type slotFacts struct {
	system, timeline   string
	current            pgoutput.LSN // up to where the log is on disk; decoding reads up to here
	inserted           pgoutput.LSN // end of the log in memory: visible up to here with synchronous_commit: off
	there, ours        bool
	status             string
	confirmed, restart pgoutput.LSN
}

// gap says why the slot cannot be read; empty: the slot can be read.
func (f *slotFacts) gap(name string) string {
	switch {
	case !f.there:
		return "there is no slot " + name
	case !f.ours:
		return "slot " + name + " is of another database or plugin"
	case f.status == "lost":
		return "slot " + name + " has lost the log that it had to keep"
	}
	return ""
}

// slotPage is the result of a look into a slot.
type slotPage struct {
	slotFacts
	*decoder
	rows   int
	full   bool // the slot may have more
	seen   snapshot
	now    time.Time // by the server's clock
	read   time.Time
	took   time.Duration // the time that the server has spent on the look, by its clock
	absent bool          // the next change is from before the publication, so decoding fails
}

var (
	errSlotBusy  = errors.New("read slot: somebody else reads it")
	errSlotMoved = errors.New("read slot: somebody else has advanced it meanwhile")
)

// look reads a page of the slot's pending changes, from the position of the slot. A look changes nothing.
func (s *slot) look(ctx context.Context) (p *slotPage, err error) {
	for try := 0; ; try++ {
		if p, err = s.lookOnce(ctx); err == nil && p.absent {
			err = p.sees(s.conn.QueryRow(ctx, seenSQL, s.of.Slot))
		}
		if !errors.Is(err, errSlotBusy) && !errors.Is(err, errSlotMoved) || try == busyTries || !sleep(ctx, busyPause) {
			return p, err
		}
	}
}

func (s *slot) lookOnce(ctx context.Context) (p *slotPage, err error) {
	config, began := s.of, time.Now()
	defer s.slow("look into the slot")()
	within, cancel := context.WithTimeout(ctx, s.feed.slots.timeout)
	defer cancel()
	defer func() {
		switch timeout := &s.feed.slots.timeout; {
		case err == nil: // a network that stood still has doubled the timeout for nothing
			*timeout = max(fullTimeout, min(*timeout, 2*time.Since(began)))
		case ctx.Err() == nil && within.Err() != nil:
			*timeout = min(2**timeout, slotTimeoutMost)
		}
	}()
	var batch pgx.Batch
	batch.Queue("begin")
	batch.Queue(factsSQL, config.Slot)
	batch.Queue(peekSQL, config.Slot, int32(s.limit), identifier(config.Publication), int32(changeBytes))
	batch.Queue(seenSQL, config.Slot)
	batch.Queue("commit")
	all := s.conn.SendBatch(within, &batch)
	defer func() { err = errors.Join(err, s.restored(within, all.Close())) }()
	if _, err := all.Exec(); err != nil {
		return nil, fmt.Errorf("begin to read slot: %w", err)
	}
	p = &slotPage{decoder: s.newDecoder(config), read: time.Now()}
	if err := all.QueryRow().Scan(&p.system, &p.timeline, &p.current, &p.inserted, &p.there, &p.ours, &p.status, &p.confirmed, &p.restart, nil); err != nil {
		return nil, fmt.Errorf("ask for slot: %w", err)
	}
	if err := p.peeked(all); err != nil {
		return p, s.refused(p, err)
	}
	if err := p.sees(all.QueryRow()); err != nil {
		return nil, err
	}
	if _, err := all.Exec(); err != nil {
		return nil, fmt.Errorf("end reading slot: %w", err)
	}
	p.full = p.rows >= s.limit
	return p, nil
}

// sees scans the answer to seenSQL.
func (p *slotPage) sees(row pgx.Row) (err error) {
	var snap, server string
	var now, took float64
	var confirmed *pgoutput.LSN
	if err := row.Scan(&snap, &server, &now, &took, &confirmed); err != nil {
		return fmt.Errorf("ask for snapshot: %w", err)
	}
	if confirmed == nil || *confirmed != p.confirmed {
		return errSlotMoved
	}
	p.now, p.took = time.UnixMicro(int64(now*1e6)), time.Duration(took*float64(time.Second))
	p.seen, err = parseSnapshot(snap, server)
	return err
}

// worked returns how long the server has decoded for a look. A look decodes the log that the slot keeps, and no more.
// So a server that stood still, or waited for a lock, has worked for no longer than that log takes.
func (p *slotPage) worked() time.Duration {
	most := float64(p.current-p.restart) / decodeLeast
	if p.restart > p.current || p.took.Seconds() < most {
		most = p.took.Seconds()
	}
	return max(time.Duration(most*float64(time.Second)), 0)
}

// slow reports a statement that takes longer than lookTimeout, while the statement is still under way. The caller calls
// done when the statement has ended. Statements of a slot have longer timeouts than lookTimeout, so without the report
// a network or a server that stands still would leave no trace.
func (s *slot) slow(statement string) (done func()) {
	f, began := s.feed, time.Now()
	say := sync.OnceFunc(func() {
		f.count(lookFailed)
		f.tell(lookFailed, "changes in PostgreSQL are not seen meanwhile: a statement takes long, since the network or the server stands still, or has much to decode",
			"statement", statement, "longer than", lookTimeout.String(), "retained bytes", f.sight.retained.Load())
	})
	timer := time.AfterFunc(lookTimeout, say)
	return func() {
		timer.Stop()
		if time.Since(began) >= lookTimeout { // a process that was frozen may stop the timer before the timer has fired
			say()
		}
	}
}

// restored rolls back a transaction that an error has left open, if the connection still works. restored returns err,
// unless err is an error of a statement, which the caller has already seen.
func (s *slot) restored(ctx context.Context, err error) error {
	if s.conn.PgConn().TxStatus() != 'I' && !s.conn.IsClosed() {
		if _, err := s.conn.Exec(ctx, "rollback"); err != nil {
			return fmt.Errorf("end reading slot: %w", err)
		}
	}
	if _, ok := errors.AsType[*pgconn.PgError](err); ok {
		return nil // of a statement, whose error the caller has
	}
	return err
}

// refused turns the server's refusal to decode into its meaning. A slot that cannot be read is no error: the page says
// why.
func (s *slot) refused(p *slotPage, err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok:
	case pg.Code == "55006": // object_in_use
		return errSlotBusy
	case p.gap(s.of.Slot) != "":
		return nil
	case pg.Code == "42704": // undefined_object: the slot is gone since, or the publication did not exist
		p.absent = true
		return nil
	}
	return fmt.Errorf("read slot: %w", err)
}

// peeked decodes messages one by one, so that memory holds at most one message besides the names.
func (p *slotPage) peeked(all pgx.BatchResults) error {
	found, err := all.Query()
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		var length int
		var message []byte
		if err := found.Scan(&length, &message); err != nil {
			return fmt.Errorf("read message: %w", err)
		}
		p.rows++
		if err := p.message(message, length > len(message)); err != nil {
			return err
		}
	}
	return found.Err()
}

// visible reports whether fetches that begin now see the transaction. Decoding shows a transaction as soon as its
// commit is in the log. Other sessions see the transaction later, by seconds if the commit waits for a standby.
func (p *slotPage) visible(xid uint32) bool {
	full := p.full64(xid)
	return full != "" && !slices.Contains(p.seen.running, full)
}

// full64 returns the number of a transaction with its epoch, which decoded messages lack. The number is below the limit
// of the snapshot, and less than 2^32 away from the limit. Empty: no such number exists.
func (p *slotPage) full64(xid uint32) string {
	limit, err := strconv.ParseUint(p.seen.limit, 10, 64)
	if err != nil {
		return ""
	}
	full := limit&^(1<<32-1) | uint64(xid)
	if full >= limit {
		if full < 1<<32 {
			return ""
		}
		full -= 1 << 32
	}
	return strconv.FormatUint(full, 10)
}
