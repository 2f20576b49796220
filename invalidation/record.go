package invalidation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"cacheproxy/policy"
)

// Record is an entry as it stands in a shared log.
type Record struct {
	Seq   uint64
	Nonce uint64 // drawn anew for every attempt to write the record, so that no two logs match by accident
	// Repeats is the key of the entry that the record makes up for: the nonce of a record that was lost, or a number
	// derived from the nonce of a record that needs a successor. Several instances may have to write the same record;
	// the first to write spares the others. Zero: the record is new.
	Repeats   uint64
	Operation Operation
	IDs       []ID
	// Older are members by which versions that do not know of this field find the copies that this version finds by
	// IDs. This version applies Older to nothing: the members name more copies than are meant, and IDs name the meant
	// copies more closely. The copies of this version bear the members too, so that the entries of earlier versions
	// find them.
	Older []ID
	// Spared is Entry.Spared. Versions that do not know of this field spare nothing.
	Spared []ID
	Fence  uint64 // of BeginFence and EndFence
	// Life is, of BeginFence, the time after which the fence ends by itself, in case the writer has died. Of
	// EndFence, any value but zero says that the write changed nothing; a version that does not know this meaning
	// ends the fence like any other.
	Life   time.Duration
	Settle time.Duration // Order.Settle
	Notice Notice        // of Announce
}

const (
	recordVersion = 1
	// MaxRecordIDs bounds the members of one record. An order that names more members is written as several records.
	MaxRecordIDs = 4096
	// The line below does not compile unless the members that one request may name fit into one record, which begins
	// the fence.
	_ = uint(MaxRecordIDs - policy.MaxEffects)
)

// errRecord says that this version cannot read a record. ParseRecord then returns a record that invalidates
// everything.
var errRecord = errors.New("record is not understood")

// Append appends the record without its place (Seq and Nonce), which the log keeps beside it.
func (r *Record) Append(dst []byte) []byte {
	dst = append(dst, recordVersion, byte(r.Operation))
	dst = binary.BigEndian.AppendUint64(dst, r.Repeats)
	dst = binary.BigEndian.AppendUint64(dst, r.Fence)
	dst = binary.AppendUvarint(dst, uint64(max(r.Life.Milliseconds(), 0)))
	dst = binary.AppendUvarint(dst, uint64(max(r.Settle.Milliseconds(), 0)))
	dst = appendBytes(dst, []byte(r.Notice.Subject))
	body := r.Notice.Body
	if len(r.Older)+len(r.Spared) > 0 { // earlier versions read the body only in Announce
		body = binary.AppendUvarint(nil, uint64(len(r.Older)))
		for _, id := range r.Spared {
			body = binary.BigEndian.AppendUint64(body, uint64(id))
		}
	}
	dst = appendBytes(dst, body)
	dst = binary.AppendUvarint(dst, uint64(len(r.IDs)+len(r.Older)))
	for _, ids := range [][]ID{r.IDs, r.Older} {
		for _, id := range ids {
			dst = binary.BigEndian.AppendUint64(dst, uint64(id))
		}
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// ParseRecord reads the output of Append. A record that cannot be read, or whose meaning is not known, becomes a
// record that invalidates everything, which is always safe: another version of this program may have written the
// record. The error says so.
func ParseRecord(seq, nonce uint64, data []byte) (Record, error) {
	r := Record{Seq: seq, Nonce: nonce}
	p := parser{rest: data}
	version, operation := p.byte(), p.byte()
	r.Operation = Operation(operation)
	r.Repeats, r.Fence = p.uint64(), p.uint64()
	r.Life, r.Settle = p.milliseconds(), p.milliseconds()
	r.Notice.Subject = string(p.bytes())
	body, older := p.bytes(), uint64(0)
	switch {
	case len(body) == 0:
	case r.Operation == Announce:
		r.Notice.Body = append([]byte(nil), body...)
	default:
		after := parser{rest: body}
		for older = after.uvarint(); len(after.rest) > 0; {
			r.Spared = append(r.Spared, ID(after.uint64()))
		}
		p.failed = p.failed || after.failed || !slices.IsSorted(r.Spared)
	}
	n := p.uvarint()
	if p.failed || older > n || version != recordVersion || r.Operation > lastOperation || n != uint64(len(p.rest)/8) || len(p.rest)%8 != 0 {
		return everything(seq, nonce), fmt.Errorf("%w: %d bytes of version %d, operation %d", errRecord, len(data), version, operation)
	}
	r.IDs = make([]ID, 0, n)
	for range n {
		id := ID(p.uint64())
		if !id.known() {
			return everything(seq, nonce), fmt.Errorf("%w: member of kind %d", errRecord, id.kind())
		}
		r.IDs = append(r.IDs, id)
	}
	if named := n - older; older > 0 {
		r.IDs, r.Older = r.IDs[:named:named], r.IDs[named:]
	}
	return r, nil
}

func everything(seq, nonce uint64) Record {
	return Record{Seq: seq, Nonce: nonce, Operation: Invalidate, IDs: []ID{allID}}
}

// allID is the member of every copy.
var allID = IDOf(policy.All)

// parser takes a record apart. After a failure all methods return zero.
type parser struct {
	rest   []byte
	failed bool
}

func (p *parser) take(n uint64) []byte {
	if p.failed || n > uint64(len(p.rest)) {
		p.failed, p.rest = true, nil
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) uint64() uint64 {
	if b := p.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if p.failed || n <= 0 {
		p.failed, p.rest = true, nil
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) milliseconds() time.Duration {
	v := p.uvarint()
	if v > math.MaxInt64/uint64(time.Millisecond) {
		p.failed, p.rest = true, nil
		return 0
	}
	return time.Duration(v) * time.Millisecond
}

func (p *parser) bytes() []byte { return p.take(p.uvarint()) }
