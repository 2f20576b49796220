package valkey

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"cacheproxy/leaderboard"
)

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
	r.book.read(rules, reply[0])
	return reply[1] == "1", nil
}

// Load merges a part of a bucket into the records, in any order, and once or more often: of one player the better or the later stays. The
// archive gets to take it unless the bucket says that it is closed. With ErrLoading the records were lost since Empty was asked, which has to
// be asked again.
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

// Loaded says that all that the archive has of a board was put back, or (empty) of all of them. With ErrLoading the records were lost since Empty
// was asked. One board does not end the reading back of all.
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
			continue // it is refused whatever it has, and does not keep the others from being shown
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
