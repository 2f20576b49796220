package valkey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/leaderboard"
)

// Owed returns closed buckets that the archive has not taken, and open buckets with submissions since this instance
// heard that they were archived.
func (r *Records) Owed(ctx context.Context, rules *leaderboard.Rules, most int) ([]leaderboard.Bucket, error) {
	boards, err := r.Boards(ctx, rules)
	if err != nil {
		return nil, err
	}
	var all []leaderboard.Bucket
	var failed error
	for _, board := range boards {
		owed, err := r.owed(ctx, rules, board, most)
		if errors.Is(err, leaderboard.ErrLoading) || ctx.Err() != nil {
			return nil, err
		}
		if err != nil { // a board under other rules, or on another server, does not stop the others
			failed = errors.Join(failed, fmt.Errorf("board %q: %w", board, err))
		}
		all = append(all, owed...)
	}
	slices.SortStableFunc(all, func(a, b leaderboard.Bucket) int { return a.Start.Compare(b.Start) })
	return all[:min(len(all), most)], failed
}

// owed is Owed for one board.
func (r *Records) owed(ctx context.Context, rules *leaderboard.Rules, board string, most int) (all []leaderboard.Bucket, err error) {
	reply, err := r.insist(ctx, "owed", owedScript, rules, r.book.reading(rules), board, strconv.Itoa(most))
	if err != nil {
		return nil, err
	}
	if len(reply) < 3 || len(reply)%2 != 1 {
		return nil, errReply
	}
	now, err := moment(reply[1])
	for i := 3; i < len(reply) && err == nil; i += 2 {
		b := leaderboard.Bucket{Route: rules.Route, Board: board}
		var failed error
		b.Start, err = moment(reply[i])
		b.End, failed = moment(reply[i+1])
		err = errors.Join(err, failed)
		if b.Closed = !b.End.After(now); b.Closed || r.book.news(rules, b, reply[2]) {
			all = append(all, b)
		}
	}
	return all, err
}

// Members reads a page of a bucket, in the order of ranks.
func (r *Records) Members(ctx context.Context, rules *leaderboard.Rules, b leaderboard.Bucket, from, most int) ([]leaderboard.Member, error) {
	return r.members(ctx, rules, r.book.reading(rules), b, from, most)
}

// members is Members for an incarnation of the records.
func (r *Records) members(ctx context.Context, rules *leaderboard.Rules, incarnation string, b leaderboard.Bucket, from, most int) ([]leaderboard.Member, error) {
	reply, err := r.insist(ctx, "members", membersScript, rules, incarnation, b.Board, number(b.Start.UnixMicro()), strconv.Itoa(from), strconv.Itoa(from+most-1))
	if err != nil {
		return nil, err
	}
	if len(reply)%2 != 1 {
		return nil, errReply
	}
	members := make([]leaderboard.Member, len(reply)/2)
	for i := range members {
		m := &members[i]
		z, err := strconv.ParseFloat(reply[2*i+2], 64)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errReply, err)
		}
		m.Score = order(rules, z)
		if m.Player, m.At, err = read(rules, reply[2*i+1]); err != nil {
			return nil, err
		}
		if rules.Aggregate == leaderboard.Every {
			m.ID = lineID(m.At)
		}
	}
	return members, nil
}

// Archived tells the records that the archive has committed count members of a bucket. Only a bucket that Owed reported
// as closed, before its members were read, is cut: the members of an open bucket may have improved since they were
// read.
func (r *Records) Archived(ctx context.Context, rules *leaderboard.Rules, b leaderboard.Bucket, count int) (done bool, err error) {
	if !b.Closed {
		r.book.taken(rules, b)
		return false, nil
	}
	reply, err := r.insist(ctx, "archived", archivedScript, rules, r.book.reading(rules), b.Board, number(b.Start.UnixMicro()), strconv.Itoa(count))
	if err != nil {
		return false, err
	}
	return reply[0] == "CUT", nil
}

// lineID is the stamp of a submission, as a text whose order is that of numbers.
func lineID(at time.Time) string { return fmt.Sprintf("%016d", at.UnixMicro()) }

// Lines returns submissions of a board after an id; empty: from the first one.
func (r *Records) Lines(ctx context.Context, rules *leaderboard.Rules, board, after string, most int) ([]leaderboard.Line, error) {
	from := "-"
	if after != "" {
		from = "(" + strings.TrimLeft(after, "0") + "-0"
	}
	reply, err := r.insist(ctx, "lines", linesScript, rules, r.book.reading(rules), board, from, strconv.Itoa(most))
	if err != nil {
		return nil, err
	}
	if len(reply)%3 != 1 {
		return nil, errReply
	}
	lines := make([]leaderboard.Line, len(reply)/3)
	for i := range lines {
		part := reply[3*i+1:]
		at, err := moment(part[0])
		z, failed := strconv.ParseFloat(part[2], 64)
		if err = errors.Join(err, failed); err != nil {
			return nil, fmt.Errorf("%w: %w", errReply, err)
		}
		lines[i] = leaderboard.Line{ID: lineID(at), Board: board, At: at, Submission: leaderboard.Submission{Player: playerOf(part[1]), Score: order(rules, z)}}
	}
	return lines, nil
}

// Taken forgets the submissions up to an id, after the archive has committed them, unless the board's mark is below
// mark, or not below limit.
func (r *Records) Taken(ctx context.Context, rules *leaderboard.Rules, board, upTo string, mark, limit int64) error {
	us, err := strconv.ParseInt(upTo, 10, 64)
	if err != nil {
		return fmt.Errorf("forget submissions: %w", err)
	}
	_, err = r.insist(ctx, "taken", takenScript, rules, r.book.reading(rules), board, number(us+1), number(mark), number(limit))
	return err
}

// Mark increments the board's mark and returns the new value. If the mark is below given, Mark returns ErrWentBack and
// changes nothing.
func (r *Records) Mark(ctx context.Context, rules *leaderboard.Rules, board string, given int64) (int64, error) {
	reply, err := r.ask(ctx, "mark", markScript, r.board(rules, board), number(given))
	if err != nil {
		return 0, err
	}
	if reply[0] == "BACK" {
		return 0, leaderboard.ErrWentBack
	}
	mark, err := strconv.ParseInt(reply[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errReply, err)
	}
	return mark, nil
}

// Mended raises the mark of a board to that of the archive.
func (r *Records) Mended(ctx context.Context, rules *leaderboard.Rules, board string, mark int64) error {
	_, err := r.ask(ctx, "mark", mendedScript, r.board(rules, board), number(mark))
	return err
}
