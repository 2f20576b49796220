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

// Owed are buckets that the archive does not have as they are, of each board those that end first.
func (r *Records) Owed(ctx context.Context, rules *leaderboard.Rules, most int) ([]leaderboard.Bucket, error) {
	boards, err := r.Boards(ctx, rules)
	if err != nil {
		return nil, err
	}
	var all []leaderboard.Bucket
	for _, board := range boards {
		reply, err := r.insist(ctx, "owed", owedScript, rules, "", board, strconv.Itoa(most))
		if err != nil {
			return nil, err
		}
		if len(reply) < 2 || len(reply)%2 != 0 {
			return nil, errReply
		}
		now, err := moment(reply[1])
		for i := 2; i < len(reply) && err == nil; i += 2 {
			b := leaderboard.Bucket{Route: rules.Route, Board: board}
			var failed error
			b.Start, err = moment(reply[i])
			b.End, failed = moment(reply[i+1])
			b.Closed = !b.End.After(now)
			err = errors.Join(err, failed)
			all = append(all, b)
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b leaderboard.Bucket) int { return a.End.Compare(b.End) })
	return all[:min(len(all), most)], nil
}

// Members reads a page of a bucket, the first in rank first.
func (r *Records) Members(ctx context.Context, rules *leaderboard.Rules, b leaderboard.Bucket, from, most int) ([]leaderboard.Member, error) {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	client, err := r.options.Connection.Client()
	if err != nil {
		return nil, fmt.Errorf("read bucket: %w", err)
	}
	key := r.board(rules, b.Board) + "b:" + number(b.Start.UnixMicro())
	scored, err := client.Do(ctx, client.B().Zrange().Key(key).Min(strconv.Itoa(from)).Max(strconv.Itoa(from+most-1)).Withscores().Build()).AsZScores()
	if err != nil {
		return nil, fmt.Errorf("read bucket: %w", err)
	}
	members := make([]leaderboard.Member, len(scored))
	for i, s := range scored {
		m := &members[i]
		m.Score = order(rules, s.Score)
		if m.Player, m.At, err = read(rules, s.Member); err != nil {
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
func (r *Records) Archived(ctx context.Context, rules *leaderboard.Rules, b leaderboard.Bucket, count int) (cut bool, err error) {
	if !b.Closed {
		return false, nil
	}
	reply, err := r.insist(ctx, "archived", archivedScript, rules, "", b.Board, number(b.Start.UnixMicro()), strconv.Itoa(count))
	if err != nil {
		return false, err
	}
	return reply[0] == "CUT", nil
}

// lineID is the stamp of a submission, in a text that has the order of numbers.
func lineID(at time.Time) string { return fmt.Sprintf("%016d", at.UnixMicro()) }

// Lines are submissions of a board after one, which is empty for all.
func (r *Records) Lines(ctx context.Context, rules *leaderboard.Rules, board, after string, most int) ([]leaderboard.Line, error) {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	client, err := r.options.Connection.Client()
	if err != nil {
		return nil, fmt.Errorf("read submissions: %w", err)
	}
	from := "-"
	if after != "" {
		from = "(" + strings.TrimLeft(after, "0") + "-0"
	}
	entries, err := client.Do(ctx, client.B().Xrange().Key(r.board(rules, board)+"s").Start(from).End("+").Count(int64(most)).Build()).AsXRange()
	if err != nil {
		return nil, fmt.Errorf("read submissions: %w", err)
	}
	lines := make([]leaderboard.Line, len(entries))
	for i, e := range entries {
		us, _, _ := strings.Cut(e.ID, "-")
		at, err := moment(us)
		z, failed := strconv.ParseFloat(e.FieldValues["z"], 64)
		if err = errors.Join(err, failed); err != nil {
			return nil, err
		}
		lines[i] = leaderboard.Line{
			ID: lineID(at), Board: board, At: at, Submission: leaderboard.Submission{Player: playerOf(e.FieldValues["p"]), Score: order(rules, z)},
		}
	}
	return lines, nil
}

// Taken forgets the submissions up to one, after the archive has committed them.
func (r *Records) Taken(ctx context.Context, rules *leaderboard.Rules, board, upTo string) error {
	us, err := strconv.ParseInt(upTo, 10, 64)
	if err != nil {
		return fmt.Errorf("forget submissions: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	client, err := r.options.Connection.Client()
	if err != nil {
		return fmt.Errorf("forget submissions: %w", err)
	}
	if err = client.Do(ctx, client.B().Xtrim().Key(r.board(rules, board)+"s").Minid().Exact().Threshold(number(us+1)).Build()).Error(); err != nil {
		return fmt.Errorf("forget submissions: %w", err)
	}
	return nil
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

// Load puts what the archive has of a bucket back, or a part of it, in any order, and once or more often. A board that is whole is left alone.
// With ErrLoading the records were lost since Empty was asked, which has to be asked again.
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
		args := []string{number(b.Start.UnixMicro()), number(b.End.UnixMicro())}
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
