package valkey

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"cacheproxy/leaderboard"
)

// Empty reports whether the server has lost, or never had, the records of a route with an archive, or of one of the
// route's boards.
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
	r.book.read(rules, reply[0])
	return reply[1] == "1", nil
}

// Load merges a part of a bucket into the records. Parts may come in any order, and repeatedly: for each player the
// better or the later score stays. The archive has to take the bucket again unless b is closed. ErrLoading says that
// the records were lost since Empty was called; the caller then has to call Empty again.
func (r *Records) Load(ctx context.Context, rules *leaderboard.Rules, b leaderboard.Bucket, members []leaderboard.Member) error {
	incarnation := r.book.reading(rules)
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

// Loaded says that everything in the archive was loaded, of one board, or of all boards if board is empty. ErrLoading
// says that the records were lost since Empty was called. Loaded of one board does not end the loading of all.
func (r *Records) Loaded(ctx context.Context, rules *leaderboard.Rules, board string) error {
	if !rules.Archived {
		return nil
	}
	incarnation := r.book.reading(rules)
	if board != "" {
		_, err := r.insist(ctx, "load", wholeScript, rules, incarnation, board)
		return err
	}
	boards, err := r.Boards(ctx, rules)
	if err != nil {
		return err
	}
	args := []string{incarnation}
	for _, board := range boards {
		reply, err := r.insist(ctx, "load", wholeScript, rules, incarnation, board)
		if errors.Is(err, leaderboard.ErrOtherRules) {
			continue // its requests are refused in any case, and the other boards are to be shown
		}
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
