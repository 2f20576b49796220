package valkey

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"

	"github.com/valkey-io/valkey-go"
)

// errReply says that the server's reply cannot be read: another program writes under the keys of this one.
var errReply = errors.New("reply of the log is not understood")

// ErrForeign says that somebody who is no instance has written to the log, so that another log begins.
var ErrForeign = errors.New("the log holds what no instance writes")

// ErrUnnamed says that the server does not tell one life of its process from the next. Then nobody could notice what
// a failover loses.
var ErrUnnamed = errors.New("the server does not say its run_id: the user of this instance must be allowed to call INFO there (ACL: +info)")

// reader takes the reply of a script apart. After a failure all methods return zero.
type reader struct {
	rest []valkey.ValkeyMessage
	err  error
}

func newReader(r valkey.ValkeyResult) (*reader, error) {
	rest, err := r.ToArray()
	if err != nil {
		return nil, err
	}
	return &reader{rest: rest}, nil
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %w", errReply, err)
	}
}

func (r *reader) next() valkey.ValkeyMessage {
	if len(r.rest) == 0 {
		r.fail(errors.New("it is too short"))
		return valkey.ValkeyMessage{}
	}
	m := r.rest[0]
	r.rest = r.rest[1:]
	return m
}

func (r *reader) text() string {
	if r.err != nil {
		return ""
	}
	m := r.next()
	s, err := m.ToString()
	if err != nil {
		r.fail(err)
	}
	return s
}

func (r *reader) number() uint64 { return r.parse(r.text(), 10) }

func (r *reader) parse(s string, base int) uint64 {
	if r.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(s, base, 64)
	if err != nil {
		r.fail(err)
	}
	return n
}

func (r *reader) list() []valkey.ValkeyMessage {
	if r.err != nil {
		return nil
	}
	m := r.next()
	l, err := m.ToArray()
	if err != nil {
		r.fail(err)
	}
	return l
}

// pairs reads a hash.
func (r *reader) pairs() map[string]string {
	pairs := map[string]string{}
	for list := (reader{rest: r.list()}); len(list.rest) > 0 && r.err == nil; {
		name := list.text()
		pairs[name], r.err = list.text(), list.err
	}
	return pairs
}

// reading is a parsed reply of syncScript.
type reading struct {
	fleet.SyncReply
	// unread is the error of an entry that could not be read, and invalidates everything. Nil: all entries were read.
	unread error
	// amiss names the damage of the log, as the scripts amiss and createScript name it. A damaged log counts as no
	// log. Empty: no damage.
	amiss string
}

// readSyncReply reads the reply of syncScript about a history.
func readSyncReply(result valkey.ValkeyResult, signer *Signer, history fleet.History) (reply reading, err error) {
	r, err := newReader(result)
	if err != nil {
		return reply, err
	}
	switch word := r.text(); word {
	case "OK":
	case "NOHIST":
		reply.Status = fleet.NoHistory
		return reply, r.err
	case "AMISS":
		reply.Status, reply.amiss = fleet.NoHistory, r.text()
		return reply, r.err
	case "HIST":
		reply.Status = fleet.OtherHistory
		return reply, r.err
	case "DIVERGED":
		reply.Status = fleet.Diverged
	case "GAP":
		reply.Status = fleet.Gap
	default:
		r.fail(fmt.Errorf("it begins with %q", word))
	}
	reply.Server = serverLife(r.text())
	if reply.Server == "" && r.err == nil {
		r.err = ErrUnnamed
	}
	if reply.Status != fleet.Current {
		return reply, r.err
	}
	reply.Terms = r.terms()
	reply.Seq = r.number()
	reply.Floor = min(r.number(), reply.Seq) // no entry stands beyond the last one
	for _, m := range r.list() {
		record, problem := entry(m, signer, history)
		if reply.unread == nil {
			reply.unread = problem
		}
		if record.Seq == 0 {
			r.fail(problem)
			break
		}
		reply.Records = append(reply.Records, record)
	}
	reply.Live = r.peers()
	reply.Longest = r.lease(r.text())
	r.leases(reply.Live)
	signer.heartbeats(history, reply.Live, r.pairs())
	reply.Edition = r.text()
	return reply, r.err
}

// entry reads an entry of the stream. With an error the record invalidates everything. If not even the Seq could be
// read, the record has Seq 0.
func entry(m valkey.ValkeyMessage, signer *Signer, history fleet.History) (invalidation.Record, error) {
	e, err := m.AsXRangeEntry()
	if err != nil {
		return invalidation.Record{}, fmt.Errorf("%w: %w", errReply, err)
	}
	return entryOf(e, signer, history)
}

func entryOf(e valkey.XRangeEntry, signer *Signer, history fleet.History) (invalidation.Record, error) {
	id, _, _ := strings.Cut(e.ID, "-")
	seq, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return invalidation.Record{}, fmt.Errorf("%w: entry %q", errReply, e.ID)
	}
	nonce, err := strconv.ParseUint(e.FieldValues["n"], 16, 64)
	if err != nil {
		return invalidation.Record{}, fmt.Errorf("%w: entry %q has nonce %q", errReply, e.ID, e.FieldValues["n"])
	}
	return signer.entry(history, seq, nonce, []byte(e.FieldValues["e"]), e.FieldValues["m"])
}

// terms reads the list of terms.
func (r *reader) terms() (terms []fleet.Term) {
	for list := (reader{rest: r.list()}); len(list.rest) > 0 && r.err == nil; {
		name, start, _ := strings.Cut(list.text(), " ")
		terms = append(terms, fleet.Term{Name: uint32(r.parse(name, 16)), Start: r.parse(start, 10)})
	}
	return terms
}

// peers reads the hash of instances. An item that no version writes is no instance, and is left out.
func (r *reader) peers() []fleet.Peer {
	list := r.list()
	var peers []fleet.Peer
	for pair := (reader{rest: list}); len(pair.rest) >= 2 && r.err == nil; {
		p := fleet.Peer{Name: pair.text()}
		said := reader{}
		p.Entry = pair.text()
		beat, rest, _ := strings.Cut(p.Entry, ":")
		applied, owes, _ := strings.Cut(rest, ":")
		p.Beat, p.Applied, p.Owes = said.parse(beat, 10), said.parse(applied, 10), owes == flag(true)
		if said.err == nil && pair.err == nil {
			peers = append(peers, p)
		}
	}
	return peers
}

// leases reads the hash of leases into peers. An instance whose lease is missing or cannot be read counts as a
// version that does not tell its lease.
func (r *reader) leases(peers []fleet.Peer) {
	said := map[string]string{}
	for pair := (reader{rest: r.list()}); len(pair.rest) >= 2 && r.err == nil; {
		said[pair.text()] = pair.text()
	}
	for i := range peers {
		word := reader{}
		lease, rest, _ := strings.Cut(said[peers[i].Name], ":")
		held, term, _ := strings.Cut(rest, ":")
		l, h, t := word.lease(lease), word.milliseconds(held), uint32(word.parse(term, 16))
		if word.err == nil {
			peers[i].Lease, peers[i].Held, peers[i].Term = l, h, t
		}
	}
}

// milliseconds reads a duration, bounded to one that no process can exceed.
func (r *reader) milliseconds(s string) time.Duration {
	return time.Duration(min(r.parse(s, 10), 1<<40)) * time.Millisecond
}

// lease reads the length of a lease. The length is bounded to the longest lease that can be configured, whoever has
// written the item.
func (r *reader) lease(s string) time.Duration { return min(r.milliseconds(s), invalidation.MaxLease) }

// serverLife reads from INFO the name of one life of the server process; empty: the server does not say.
func serverLife(info string) string {
	for lines := bufio.NewScanner(strings.NewReader(info)); lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), "run_id:"); ok {
			return id
		}
	}
	return ""
}

func nonceText(n uint64) string { return strconv.FormatUint(n, 16) }

func historyText(h fleet.History) string { return hex.EncodeToString(h[:]) }

func parseHistory(s string) (h fleet.History, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%w: history %q", errReply, s)
	}
	return fleet.History(b), nil
}
