package valkey

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/leaderboard"
)

// Owed are buckets that the archive does not have as they are: closed ones, and open ones to which something has come since this instance was
// told that they were archived.
func (r *Records) Owed(ctx context.Context, rules *leaderboard.Rules, most int) ([]leaderboard.Bucket, error) {
	boards, err := r.Boards(ctx, rules)
	if err != nil {
		return nil, err
	}
	var all []leaderboard.Bucket
	for _, board := range boards {
		reply, err := r.insist(ctx, "owed", owedScript, rules, r.reading(rules), board, strconv.Itoa(most))
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
			if b.Closed = !b.End.After(now); b.Closed || r.news(rules, b, reply[2]) {
				all = append(all, b)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b leaderboard.Bucket) int { return a.Start.Compare(b.Start) })
	return all[:min(len(all), most)], nil
}

// openBucket is what is known of the bucket of a board that is open.
type openBucket struct {
	start       time.Time
	last, taken string // the last stamp when Owed was asked, and when the archive had taken it
}

// news notes the last stamp of an open bucket, and reports whether the archive has not taken it.
func (r *Records) news(rules *leaderboard.Rules, b leaderboard.Bucket, last string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	open := r.route(rules).open
	is := open[b.Board]
	if !is.start.Equal(b.Start) {
		is = openBucket{start: b.Start}
	}
	is.last = last
	open[b.Board] = is
	return is.last != is.taken
}

// Members reads a page of a bucket, the first in rank first.
func (r *Records) Members(ctx context.Context, rules *leaderboard.Rules, b leaderboard.Bucket, from, most int) ([]leaderboard.Member, error) {
	reply, err := r.insist(ctx, "members", membersScript, rules, r.reading(rules), b.Board, number(b.Start.UnixMicro()), strconv.Itoa(from), strconv.Itoa(from+most-1))
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

// Archived is told after the archive has committed count members of a bucket that Owed had said to be closed before they were read: another
// is not cut, since what was read of it may have become better meanwhile.
func (r *Records) Archived(ctx context.Context, rules *leaderboard.Rules, b leaderboard.Bucket, count int) (done bool, err error) {
	if !b.Closed {
		r.mu.Lock()
		defer r.mu.Unlock()
		if is := r.route(rules).open[b.Board]; is.start.Equal(b.Start) {
			is.taken = is.last
			r.route(rules).open[b.Board] = is
		}
		return false, nil
	}
	reply, err := r.insist(ctx, "archived", archivedScript, rules, r.reading(rules), b.Board, number(b.Start.UnixMicro()), strconv.Itoa(count))
	if err != nil {
		return false, err
	}
	return reply[0] == "CUT", nil
}

// lineID is the stamp of a submission, in a text that has the order of numbers.
func lineID(at time.Time) string { return fmt.Sprintf("%016d", at.UnixMicro()) }

// Lines are submissions of a board after one, which is empty for all.
func (r *Records) Lines(ctx context.Context, rules *leaderboard.Rules, board, after string, most int) ([]leaderboard.Line, error) {
	from := "-"
	if after != "" {
		from = "(" + strings.TrimLeft(after, "0") + "-0"
	}
	reply, err := r.insist(ctx, "lines", linesScript, rules, r.reading(rules), board, from, strconv.Itoa(most))
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

// Taken forgets the submissions up to one, after the archive has committed them, unless the board's number is below mark.
func (r *Records) Taken(ctx context.Context, rules *leaderboard.Rules, board, upTo string, mark int64) error {
	us, err := strconv.ParseInt(upTo, 10, 64)
	if err != nil {
		return fmt.Errorf("forget submissions: %w", err)
	}
	_, err = r.insist(ctx, "taken", takenScript, rules, r.reading(rules), board, number(us+1), number(mark))
	return err
}

// Mark adds one to a number that is kept with the board, and answers it: at least least+1.
func (r *Records) Mark(ctx context.Context, rules *leaderboard.Rules, board string, least int64) (int64, error) {
	reply, err := r.ask(ctx, "mark", markScript, r.board(rules, board), number(least))
	if err != nil {
		return 0, err
	}
	mark, err := strconv.ParseInt(reply[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errReply, err)
	}
	return mark, nil
}

// Empty reports whether the server has lost, or never had, the records of a route that has an archive, or of one of its boards.
func (r *Records) Empty(ctx context.Context, rules *leaderboard.Rules) (bool, error) {
	if !rules.Archived {
		return false, nil
	}
	reply, err := r.ask(ctx, "empty", emptyScript, r.base(rules), rand.Text())
	if err != nil {
		return false, err
	}
	if len(reply) != 2 {
		return false, errReply
	}
	r.mu.Lock()
	r.route(rules).incarnation, r.route(rules).reading = reply[0], reply[0]
	r.mu.Unlock()
	return reply[1] == "1", nil
}

// reading is the incarnation of which Empty has last told. What was put back of one before is not there any more.
func (r *Records) reading(rules *leaderboard.Rules) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.route(rules).reading
}

// Load merges a part of a bucket into the records, in any order, and once or more often: of one player the better or the later stays. The
// archive gets to take it unless the bucket says that it is closed. With ErrLoading the records were lost since Empty was asked, which has to
// be asked again.
func (r *Records) Load(ctx context.Context, rules *leaderboard.Rules, b leaderboard.Bucket, members []leaderboard.Member) error {
	incarnation := r.reading(rules)
	reply, err := r.ask(ctx, "load", loadingScript, r.base(rules), incarnation, b.Board)
	if err != nil {
		return err
	}
	if reply[0] != "OK" {
		return leaderboard.ErrLoading
	}
	for part := range slices.Chunk(members, 500) {
		args := []string{number(b.Start.UnixMicro()), number(b.End.UnixMicro()), truth(b.Closed)}
		for _, m := range part {
			args = append(args, nameOf(m.Player), decimal(order(rules, m.Score)), number(m.At.UnixMicro()))
		}
		if _, err := r.insist(ctx, "load", loadScript, rules, incarnation, b.Board, args...); err != nil {
			return err
		}
	}
	return nil
}

// Loaded says that all that the archive has was put back. With ErrLoading the records were lost since Empty was asked.
func (r *Records) Loaded(ctx context.Context, rules *leaderboard.Rules) error {
	if !rules.Archived {
		return nil
	}
	boards, err := r.Boards(ctx, rules)
	if err != nil {
		return err
	}
	incarnation := r.reading(rules)
	args := []string{incarnation}
	for _, board := range boards {
		reply, err := r.insist(ctx, "load", wholeScript, rules, incarnation, board)
		if err != nil {
			return err
		}
		if reply[0] == "NONE" {
			args = append(args, board)
		}
	}
	reply, err := r.ask(ctx, "load", loadedScript, r.base(rules), args...)
	if err != nil {
		return err
	}
	if reply[0] != "OK" {
		return leaderboard.ErrLoading
	}
	return nil
}

// insist runs a script of a board until its window has slid and its period is that of the server.
func (r *Records) insist(ctx context.Context, op string, s *script, rules *leaderboard.Rules, incarnation, board string, args ...string) ([]string, error) {
	for tries := 0; ctx.Err() == nil; tries++ {
		reply, err := r.ask(ctx, op, s, r.board(rules, board), append(r.arguments(rules, incarnation), args...)...)
		switch {
		case err != nil:
			return nil, err
		case reply[0] == "AGAIN":
			tries = 0 // each of them has done a part
		case reply[0] == "RULES":
			return nil, leaderboard.ErrOtherRules
		case reply[0] == "LOADING":
			return nil, leaderboard.ErrLoading
		case reply[0] != "TIME":
			return reply, nil
		case len(reply) != 2 || tries > 8:
			return nil, errSlide
		default:
			r.learn(reply[1])
		}
	}
	return nil, fmt.Errorf("%s of board: %w", op, ctx.Err())
}

func moment(us string) (time.Time, error) {
	n, err := strconv.ParseInt(us, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", errReply, err)
	}
	return time.UnixMicro(n).UTC(), nil
}

var _ interface {
	leaderboard.Records
	leaderboard.Source
} = (*Records)(nil)
