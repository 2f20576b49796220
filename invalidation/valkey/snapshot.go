package valkey

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"

	"github.com/valkey-io/valkey-go"
)

// marksPage is how many marks one request of a snapshot brings.
const marksPage = 5000

// fetch loads a snapshot. Only its head is of one moment: marks only rise, so that one which is read later than the head says
// no more than the entries after it, which come next.
func (l *Log) fetch(ctx context.Context, client valkey.Client) error {
	k := l.keys
	r, err := newReader(snapshotScript.run(ctx, client, []string{k.meta, k.log, k.fences, k.notices}, nil))
	if err != nil {
		return fmt.Errorf("read snapshot of log: %w", err)
	}
	switch r.text() {
	case "NOHIST":
		return nil // the next heartbeat begins one
	case "BROKEN":
		l.options.Log.Error("server has evicted keys of the log, and a new one begins; its maxmemory-policy must be noeviction or volatile-*")
		return l.found(ctx, client)
	}
	var s fleet.Snapshot
	history := r.text()
	s.Seq = r.number()
	if nonce := r.text(); nonce != "" {
		s.Nonce = r.parse(nonce, 16)
	}
	s.Floor = r.number()
	s.Age = time.Duration(min(r.number(), 1<<31)) * time.Second
	fences, notices := r.list(), r.list()
	if r.err != nil {
		return r.err
	}
	if s.History, err = parseHistory(history); err != nil {
		return err
	}
	for _, m := range fences {
		if record, ok := l.kept(m); ok {
			s.Fences = append(s.Fences, record)
		}
	}
	for _, m := range notices {
		if record, ok := l.kept(m); ok {
			s.Notices = append(s.Notices, record.Notice)
		}
	}
	for _, sort := range []struct {
		key  string
		soft bool
	}{{k.hard, false}, {k.soft, true}} {
		if s.Marks, err = l.marks(ctx, client, sort.key, sort.soft, s.Marks); err != nil {
			return err
		}
	}
	l.follower.Load(s, time.Now())
	l.deliver()
	return nil
}

// kept reads a record that is kept beside the log. One that cannot be read belongs to another version, which looks after it.
func (l *Log) kept(m valkey.ValkeyMessage) (invalidation.Record, bool) {
	text, err := m.ToString()
	if err != nil {
		return invalidation.Record{}, false
	}
	record, err := invalidation.ParseRecord(0, 0, []byte(text))
	if err != nil {
		l.options.Log.Warn("word of another version not understood", "error", err)
	}
	return record, err == nil
}

// marks reads one set of marks, page by page in the order of their positions.
func (l *Log) marks(ctx context.Context, client valkey.Client, key string, soft bool, all []fleet.Mark) ([]fleet.Mark, error) {
	// Each page has its time: of a million marks there are many, however short leases are.
	ctx = context.WithoutCancel(ctx)
	size, from := marksPage, "-inf"
	for {
		page, err := l.page(ctx, client, key, from, size)
		if err != nil {
			return nil, fmt.Errorf("read marks of log: %w", err)
		}
		for _, m := range page {
			mark := fleet.Mark{Seq: uint64(m.Score), Soft: soft}
			if len(m.Member) != 8 {
				return nil, fmt.Errorf("read marks of log: %w: member of %d bytes", errAnswer, len(m.Member))
			}
			mark.ID = invalidation.ID(binary.BigEndian.Uint64([]byte(m.Member)))
			all = append(all, mark)
		}
		if len(page) < size {
			return all, nil
		}
		last := strconv.FormatFloat(page[len(page)-1].Score, 'f', -1, 64)
		if last == from {
			size *= 2 // a single record with more members than a page has
		}
		from = last
	}
}

func (l *Log) page(ctx context.Context, client valkey.Client, key, from string, size int) ([]valkey.ZScore, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*l.patience)
	defer cancel()
	return client.Do(ctx, client.B().Zrange().Key(key).Min(from).Max("+inf").Byscore().Limit(0, int64(size)).Withscores().Build()).AsZScores()
}
