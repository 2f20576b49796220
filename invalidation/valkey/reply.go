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

// errReply says that the server's reply cannot be read: something else than this program writes under its keys.
var errReply = errors.New("reply of the log is not understood")

// reader takes the reply of a script apart. After a failure all its methods give zero.
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

// readSyncReply reads the reply of syncScript about a history. unread tells of an entry that could not be read, and invalidates everything.
func readSyncReply(result valkey.ValkeyResult, onlyServer bool, signer *Signer, history fleet.History) (reply fleet.SyncReply, unread error, err error) {
	r, err := newReader(result)
	if err != nil {
		return reply, nil, err
	}
	switch word := r.text(); word {
	case "OK":
	case "NOHIST":
		reply.Status = fleet.NoHistory
		return reply, nil, r.err
	case "HIST":
		reply.Status = fleet.OtherHistory
		return reply, nil, r.err
	case "DIVERGED":
		reply.Status = fleet.Diverged
	case "GAP":
		reply.Status = fleet.Gap
	default:
		r.fail(fmt.Errorf("it begins with %q", word))
	}
	reply.Server, reply.Up = serverLife(r.text())
	if !onlyServer {
		reply.Up = 0
	}
	if reply.Status != fleet.Current {
		return reply, nil, r.err
	}
	reply.Terms = r.terms()
	reply.Seq, reply.Floor = r.number(), r.number()
	for _, m := range r.list() {
		record, problem := entry(m, signer, history)
		if unread == nil {
			unread = problem
		}
		if record.Seq == 0 {
			r.fail(problem)
			break
		}
		reply.Records = append(reply.Records, record)
	}
	reply.Live = r.peers()
	return reply, unread, r.err
}

// entry reads an entry of the stream. With an error the record invalidates everything, or has no Seq if not even that could be
// read.
func entry(m valkey.ValkeyMessage, signer *Signer, history fleet.History) (invalidation.Record, error) {
	e, err := m.AsXRangeEntry()
	if err != nil {
		return invalidation.Record{}, fmt.Errorf("%w: %w", errReply, err)
	}
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

// peers reads the hash of instances.
func (r *reader) peers() []fleet.Peer {
	list := r.list()
	var peers []fleet.Peer
	for pair := (reader{rest: list}); len(pair.rest) >= 2 && r.err == nil; {
		p := fleet.Peer{Name: pair.text()}
		beat, rest, _ := strings.Cut(pair.text(), ":")
		applied, owes, _ := strings.Cut(rest, ":")
		p.Beat, p.Applied, p.Owes = r.parse(beat, 10), r.parse(applied, 10), owes == flag(true)
		peers = append(peers, p)
	}
	return peers
}

// serverLife reads from INFO what one life of the server process is called, and how long it has lasted at least. INFO counts the seconds
// that the clock has begun, so that up to one second less may have passed than INFO says.
func serverLife(info string) (id string, up time.Duration) {
	for lines := bufio.NewScanner(strings.NewReader(info)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch name {
		case "run_id":
			id = value
		case "uptime_in_seconds":
			if seconds, err := strconv.ParseUint(value, 10, 31); err == nil { // otherwise it stays zero: not known
				up = max(time.Duration(seconds)*time.Second-time.Second, time.Nanosecond)
			}
		}
	}
	return id, up
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
