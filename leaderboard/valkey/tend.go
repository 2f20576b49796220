package valkey

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"cacheproxy/leaderboard"
)

// sweepEvery is the pause between two sweeps. A board that is read or written needs no sweep: each script slides its
// window.
const sweepEvery = 30 * time.Second

// sweep tends the boards of the routes in force until ctx ends.
func (r *Records) sweep(ctx context.Context) {
	again := time.NewTicker(sweepEvery)
	defer again.Stop()
	for r.options.Rules != nil {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		for _, rules := range r.options.Rules() {
			if err := r.sweepRoute(ctx, rules); err != nil && ctx.Err() == nil {
				r.options.Observe("leaderboard_sweep", 0, err)
			}
		}
	}
}

// sweepRoute slides the windows of all boards of a route, and removes boards that are empty and that nobody has
// registered for a while. Run calls sweepRoute for the routes in force.
//
// A board is first removed from the route, and then dropped if it is still empty. A submission in between registers the
// board again: a board is removed only after five times the time for which an instance counts the board as registered,
// so no instance still relies on its registration.
func (r *Records) sweepRoute(ctx context.Context, rules *leaderboard.Rules) error {
	boards, err := r.Boards(ctx, rules)
	if err != nil {
		return err
	}
	var failed error
	for _, board := range boards {
		failed = errors.Join(failed, r.sweepBoard(ctx, rules, board))
	}
	return failed
}

func (r *Records) sweepBoard(ctx context.Context, rules *leaderboard.Rules, board string) error {
	incarnation, _ := r.book.known(rules, board)
	reply, err := r.insist(ctx, "sweep", tendScript, rules, incarnation, board)
	if err != nil {
		return err
	}
	if reply[0] == "NONE" && rules.Archived { // the board may have been lost
		if s, err := r.state(ctx, rules, board); err != nil || s.live {
			return err
		}
	}
	if reply[0] == "BUSY" {
		return nil
	}
	reply, err = r.ask(ctx, "sweep", forgetScript, r.base(rules), board, number((5 * registered).Milliseconds()))
	if err != nil || reply[0] != "OK" {
		return err
	}
	_, err = r.insist(ctx, "sweep", dropScript, rules, incarnation, board)
	return err
}

// Held calls each with the buckets of a board that the records hold separately, and with their members, page by page:
// all buckets of the window where only the first K are kept, and the buckets that the archive lacks. Other boards hold
// players and not buckets, and have none. ErrLoading says that the board lacks data from the archive.
//
// Any process may call Held: an archiver knows the incarnation of the records from Empty, another process does not. So
// Held asks for the incarnation, and requires this incarnation of every page. If the records are lost meanwhile, Held
// returns an error, and not a part of the board.
func (r *Records) Held(ctx context.Context, rules *leaderboard.Rules, board string, size int, each func(leaderboard.Bucket, []leaderboard.Member) error) error {
	incarnation := ""
	if rules.Archived {
		s, err := r.state(ctx, rules, board)
		if err != nil {
			return err
		}
		if s.loading {
			return leaderboard.ErrLoading
		}
		incarnation = s.incarnation
	}
	buckets, err := r.buckets(ctx, rules, incarnation, board)
	if err != nil {
		return err
	}
	for _, b := range buckets {
		for from := 0; ; from += size {
			page, err := r.members(ctx, rules, incarnation, b, from, size)
			if err != nil {
				return err
			}
			if err := each(b, page); err != nil {
				return err
			}
			if len(page) < size {
				break
			}
		}
	}
	return nil
}

// buckets returns the buckets of a board that the records hold separately.
func (r *Records) buckets(ctx context.Context, rules *leaderboard.Rules, incarnation, board string) ([]leaderboard.Bucket, error) {
	reply, err := r.insist(ctx, "buckets", bucketsScript, rules, incarnation, board)
	if errors.Is(err, leaderboard.ErrLoading) { // the records of the route are whole, and this board is not
		return nil, errors.Join(err, r.fault(ctx, rules, incarnation))
	}
	if err != nil {
		return nil, err
	}
	if reply[0] == "NONE" {
		if !rules.Archived {
			return nil, nil
		}
		s, err := r.state(ctx, rules, board)
		if err == nil && s.live { // the board was lost
			err = errors.Join(leaderboard.ErrLoading, r.fault(ctx, rules, s.incarnation))
		}
		return nil, err
	}
	if len(reply)%2 != 0 {
		return nil, errReply
	}
	now, err := moment(reply[1])
	var all []leaderboard.Bucket
	for i := 2; i < len(reply) && err == nil; i += 2 {
		b := leaderboard.Bucket{Route: rules.Route, Board: board}
		var failed error
		b.Start, err = moment(reply[i])
		b.End, failed = moment(reply[i+1])
		err = errors.Join(err, failed)
		b.Closed = !b.End.After(now)
		all = append(all, b)
	}
	return all, err
}

// Measure returns the number of the route's boards, and their memory in bytes, extrapolated from a sample.
func (r *Records) Measure(ctx context.Context, rules *leaderboard.Rules) (boards int, bytes int64, err error) {
	all, err := r.Boards(ctx, rules)
	if err != nil {
		return 0, 0, err
	}
	step := max(1, len(all)/10)
	tried := 0
	for i := 0; i < len(all); i += step {
		reply, err := r.insist(ctx, "measure", measureScript, rules, "", all[i])
		if errors.Is(err, leaderboard.ErrOtherRules) {
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		n, err := strconv.ParseInt(reply[0], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%w: %w", errReply, err)
		}
		bytes += n
		tried++
	}
	if tried > 0 {
		bytes = bytes * int64(len(all)) / int64(tried)
	}
	return len(all), bytes, nil
}
