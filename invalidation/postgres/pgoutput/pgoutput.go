// Package pgoutput reads the messages of PostgreSQL's output plugin of that name, in version 1 of its protocol:
// "Logical Replication Message Formats" in the manual of PostgreSQL. The parser trusts no length and no count in a
// message, allocates memory at most in proportion to the message, and refuses a message with bytes left over.
package pgoutput

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// LSN is a position in the write-ahead log, in bytes from the beginning of the log.
type LSN uint64

// String formats the position as PostgreSQL does.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// Begin begins a transaction. All messages until its Commit belong to the transaction.
type Begin struct {
	XID uint32 // of the top-level transaction, without its epoch
	At  time.Time
}

// Commit ends a transaction.
type Commit struct {
	End LSN // behind the commit record: a slot may be advanced to here once the whole transaction was processed
}

// Relation describes the columns of a table, until the next Relation with the same OID.
type Relation struct {
	OID          uint32
	Schema, Name string
	Columns      []Column
}

// Column is one column of a Relation.
type Column struct {
	Name string
	Key  bool // the column is in the replica identity: it is sent of old rows
}

// Change is the change of one row. Old is nil if the message has no old row: for an insert, and, unless the identity is
// FULL, for an update that left the columns of the identity unchanged.
type Change struct {
	Kind     byte // I, U or D
	Relation uint32
	Old, New []Value
}

// Value is the value of one column.
type Value struct {
	Kind ValueKind
	Text string // as the column's type prints it; empty for other kinds
}

// ValueKind says whether a value is NULL, unchanged, or a text.
type ValueKind byte

// The kinds of values.
const (
	Null      ValueKind = 'n' // NULL; in an old row, also a column that is not in the identity
	Unchanged ValueKind = 'u' // a TOASTed value that the update left unchanged, which is not sent
	text      ValueKind = 't'
)

// Truncate is a TRUNCATE of tables.
type Truncate struct{ Relations []uint32 }

// Note is a message of pg_logical_emit_message.
type Note struct {
	Transactional   bool
	Prefix, Content string
}

var (
	errShort = errors.New("it ends too early")
	errKind  = errors.New("it is of a kind that version 1 of the protocol does not have")
)

// Parse reads one message. The result is a *Begin, *Commit, *Relation, *Change, *Truncate or *Note; nil for a message
// that says nothing of rows.
func Parse(message []byte) (any, error) {
	r := &reader{left: message}
	m, err := r.message()
	switch {
	case err == nil && r.short:
		err = errShort
	case err == nil && len(r.left) > 0:
		err = fmt.Errorf("%d bytes are left", len(r.left))
	}
	if err != nil {
		return nil, fmt.Errorf("read message %.1q of pgoutput: %w", message, err)
	}
	return m, nil
}

// Of returns the table of a message of which only the beginning is known. ok is false unless the message is the change
// of a row.
func Of(beginning []byte) (relation uint32, ok bool) {
	r := &reader{left: beginning}
	switch r.byte() {
	case 'I', 'U', 'D':
		relation = r.uint32()
		return relation, !r.short
	}
	return 0, false
}

func (r *reader) message() (any, error) {
	switch kind := r.byte(); kind {
	case 'B':
		r.uint64()
		at := r.time()
		return &Begin{XID: r.uint32(), At: at}, nil
	case 'C':
		r.byte()
		r.uint64()
		end := LSN(r.uint64())
		r.uint64()
		return &Commit{End: end}, nil
	case 'R':
		return r.relation(), nil
	case 'I', 'U', 'D':
		return r.change(kind)
	case 'T':
		n := r.uint32()
		r.byte()
		t := &Truncate{}
		for ; n > 0 && !r.short; n-- {
			t.Relations = append(t.Relations, r.uint32())
		}
		return t, nil
	case 'M':
		n := &Note{Transactional: r.byte()&1 != 0}
		r.uint64()
		n.Prefix = r.string()
		n.Content = string(r.take(uint64(r.uint32())))
		return n, nil
	case 'O', 'Y': // origin of a transaction; name of a type
		r.left = nil
		return nil, nil
	}
	return nil, errKind
}

func (r *reader) relation() *Relation {
	m := &Relation{OID: r.uint32(), Schema: r.string(), Name: r.string()}
	r.byte() // the replica identity; the flags of the columns say the same
	if m.Schema == "" {
		m.Schema = "pg_catalog" // the protocol sends an empty name for pg_catalog
	}
	for n := r.uint16(); n > 0 && !r.short; n-- {
		c := Column{Key: r.byte()&1 != 0, Name: r.string()}
		r.uint64() // type and type modifier
		m.Columns = append(m.Columns, c)
	}
	return m
}

func (r *reader) change(kind byte) (_ *Change, err error) {
	c := &Change{Kind: kind, Relation: r.uint32()}
	part := r.byte()
	if (part == 'K' || part == 'O') && kind != 'I' {
		if c.Old, err = r.row(); err != nil || kind == 'D' {
			return c, err
		}
		part = r.byte()
	}
	if part != 'N' || kind == 'D' {
		return nil, errors.New("it lacks a row")
	}
	c.New, err = r.row()
	return c, err
}

func (r *reader) row() (row []Value, err error) {
	row = []Value{}
	for n := r.uint16(); n > 0 && !r.short; n-- {
		v := Value{Kind: ValueKind(r.byte())}
		switch v.Kind {
		case Null, Unchanged:
		case text:
			v.Text = string(r.take(uint64(r.uint32())))
		default:
			return nil, errors.New("a value is neither text nor NULL")
		}
		row = append(row, v)
	}
	return row, nil
}

// reader parses a message. If the message is too short, all further values are zero, and short is set.
type reader struct {
	left  []byte
	short bool
}

func (r *reader) take(n uint64) []byte {
	if r.short = r.short || n > uint64(len(r.left)); r.short {
		r.left = nil
		return nil
	}
	taken := r.left[:n]
	r.left = r.left[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// time reads a time, in microseconds since the year 2000.
func (r *reader) time() time.Time {
	const epoch = 946_684_800_000_000
	return time.UnixMicro(int64(r.uint64()) + epoch)
}

// string reads a text that ends with a zero byte.
func (r *reader) string() string {
	i := bytes.IndexByte(r.left, 0)
	if i < 0 {
		r.short, r.left = true, nil
		return ""
	}
	text := string(r.left[:i])
	r.left = r.left[i+1:]
	return text
}
