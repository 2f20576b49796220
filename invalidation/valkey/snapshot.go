package valkey

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"

	"github.com/valkey-io/valkey-go"
)

// marksPage is how many marks one request of a snapshot brings.
const marksPage = 5000

// logState is the state of a server's log as the snapshot script finds it.
type logState uint8

const (
	whole   logState = iota // the zero value
	noLog                   // the server has no log
	damaged                 // the server has lost the end of the log, or somebody has written into the log
)

// snapshotReader reads a snapshot from the server. Only the head is of one moment. Marks only rise, so a mark that is
// read later than the head says no more than the entries after the head, which come next.
type snapshotReader struct {
	client      valkey.Client
	keys        keys
	pageTimeout time.Duration
	signer      *Signer // nil: nothing is verified
	log         *slog.Logger
}

func (s *snapshotReader) read(ctx context.Context) (snapshot fleet.Snapshot, state logState, err error) {
	k := s.keys
	r, err := newReader(snapshotScript.Run(ctx, s.client, []string{k.meta, k.log, k.fences, k.notices, k.signed, k.hard, k.soft}, nil))
	if err != nil {
		return snapshot, whole, fmt.Errorf("read snapshot of log: %w", err)
	}
	switch r.text() {
	case "NOHIST":
		return snapshot, noLog, nil
	case "AMISS":
		return snapshot, damaged, nil
	}
	history := r.text()
	snapshot.Seq = r.number()
	if nonce := r.text(); nonce != "" {
		snapshot.Nonce = r.parse(nonce, 16)
	}
	snapshot.Floor = min(r.number(), snapshot.Seq)
	previous := r.text()
	fences, notices, signed := r.pairs(), r.pairs(), r.pairs()
	if r.err != nil {
		return snapshot, whole, r.err
	}
	if snapshot.History, err = parseHistory(history); err != nil {
		return snapshot, whole, err
	}
	snapshot.Previous, _ = parseHistory(previous) // an unreadable name counts as not known
	for name, text := range fences {
		if !s.signer.kept(snapshot.History, text, signed[k.fences+" "+name]) {
			// The members of this fence are not known: no copy from before is used.
			snapshot.Floor = snapshot.Seq
		} else if record, ok := s.kept(text); ok {
			snapshot.Fences = append(snapshot.Fences, record)
		}
	}
	for subject, text := range notices {
		if !s.signer.kept(snapshot.History, text, signed[k.notices+" "+subject]) {
			s.log.Warn("notice without a right signature is not heeded; announce it again", "subject", subject)
			snapshot.Unread = append(snapshot.Unread, subject)
		} else if record, ok := s.kept(text); ok && record.Notice.Subject == subject {
			snapshot.Notices = append(snapshot.Notices, record.Notice)
		} else {
			snapshot.Unread = append(snapshot.Unread, subject)
		}
	}
	if snapshot.Marks, err = s.marks(ctx, k.hard, false, nil); err == nil {
		snapshot.Marks, err = s.marks(ctx, k.soft, true, snapshot.Marks)
	}
	return snapshot, whole, err
}

// kept reads a record that the server keeps beside the log. A record that cannot be read belongs to another version,
// which looks after it.
func (s *snapshotReader) kept(text string) (invalidation.Record, bool) {
	record, err := invalidation.ParseRecord(0, 0, []byte(text))
	if err != nil {
		s.log.Warn("word of another version not understood", "error", err)
	}
	return record, err == nil
}

// marks reads one set of marks, page by page in the order of their positions.
func (s *snapshotReader) marks(ctx context.Context, key string, soft bool, all []fleet.Mark) ([]fleet.Mark, error) {
	// Each page has its own timeout: a million marks take many pages, however short leases are.
	ctx = context.WithoutCancel(ctx)
	size, from := marksPage, "-inf"
	for {
		page, err := s.page(ctx, key, from, size)
		if err != nil {
			return nil, fmt.Errorf("read marks of log: %w", err)
		}
		for _, m := range page {
			mark := fleet.Mark{Seq: uint64(m.Score), Soft: soft}
			if len(m.Member) != 8 || !(m.Score >= 0) {
				continue // no instance has written this item
			}
			mark.ID = invalidation.ID(binary.BigEndian.Uint64([]byte(m.Member)))
			all = append(all, mark)
		}
		if len(page) < size {
			return all, nil
		}
		last := strconv.FormatFloat(page[len(page)-1].Score, 'f', -1, 64)
		if last == from {
			size *= 2 // a single record has more members than a page
		}
		from = last
	}
}

func (s *snapshotReader) page(ctx context.Context, key, from string, size int) ([]valkey.ZScore, error) {
	ctx, cancel := context.WithTimeout(ctx, s.pageTimeout)
	defer cancel()
	return s.client.Do(ctx, s.client.B().Zrange().Key(key).Min(from).Max("+inf").Byscore().Limit(0, int64(size)).Withscores().Build()).AsZScores()
}
