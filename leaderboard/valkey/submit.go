package valkey

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cacheproxy/leaderboard"
)

// Submit records all submissions of a request, or none. With ErrNotDurable, or an error of another package, the
// submissions may be recorded or not. With an idempotency key, the caller can submit again in any case.
func (r *Records) Submit(ctx context.Context, rules *leaderboard.Rules, q leaderboard.Request) ([]leaderboard.Receipt, bool, error) {
	if len(q.Submissions) == 0 {
		return nil, false, nil
	}
	if err := rules.CheckScores(q.Submissions); err != nil {
		return nil, false, err
	}
	incarnation, lately := r.book.known(rules, q.Board)
	made, unconfirmed := false, false // the board may be made; whether its first write has to be confirmed to the route
	if !lately {
		s, err := r.register(ctx, rules, q.Board)
		if err != nil {
			return nil, false, err
		}
		incarnation, unconfirmed = s.incarnation, !s.live
	}
	tail := tailOf(rules, q)
	for tries := 0; ctx.Err() == nil; tries++ {
		args := append(r.arguments(rules, incarnation), truth(made))
		reply, err := r.send(ctx, rules, q.Board, append(args, tail...))
		if err != nil {
			return nil, false, err
		}
		switch reply[0] {
		case "NEW":
			s, err := r.register(ctx, rules, q.Board)
			if err != nil {
				return nil, false, err
			}
			if made = true; s.loading || s.live { // the board is not whole until the archive's part is loaded
				s.incarnation = ""
			}
			incarnation = s.incarnation
		case "AGAIN":
			tries = 0 // each reply has done a part
		case "TIME":
			if len(reply) != 2 || tries > 8 {
				return nil, false, errSlide
			}
			r.learn(reply[1])
		case "RULES":
			return nil, false, leaderboard.ErrOtherRules
		case "OTHER":
			return nil, false, leaderboard.ErrKeyReused
		case "LARGE":
			return nil, false, leaderboard.ErrTooLarge
		case "OK", "SAME":
			if made || unconfirmed {
				if _, err := r.ask(ctx, "confirm", confirmScript, r.base(rules), q.Board); err != nil {
					return nil, false, fmt.Errorf("%w: %w", leaderboard.ErrNotDurable, err)
				}
			}
			receipts, err := receiptsOf(rules, q, reply)
			return receipts, reply[0] == "SAME", err
		default:
			return nil, false, fmt.Errorf("%w: it begins with %q", errReply, reply[0])
		}
	}
	return nil, false, fmt.Errorf("submit scores: %w", ctx.Err())
}

// tailOf returns the arguments that stay the same from try to try.
func tailOf(rules *leaderboard.Rules, q leaderboard.Request) []string {
	key, print := "", ""
	if q.Key != "" && rules.Repeats > 0 {
		k, p := sha256.Sum256([]byte(q.Key)), sha256.Sum256([]byte(q.Print))
		key, print = string(k[:16]), string(p[:8])
	}
	tail := []string{key, print, number(rules.Repeats.Milliseconds())}
	for _, s := range q.Submissions {
		tail = append(tail, nameOf(s.Player), decimal(order(rules, s.Score)))
	}
	return tail
}

func receiptsOf(rules *leaderboard.Rules, q leaderboard.Request, reply []string) ([]leaderboard.Receipt, error) {
	if len(reply) != 2 {
		return nil, errReply
	}
	words := strings.Fields(reply[1])
	if len(words) != 2*len(q.Submissions) {
		return nil, errReply
	}
	receipts := make([]leaderboard.Receipt, len(q.Submissions))
	for i, s := range q.Submissions {
		z, err := strconv.ParseFloat(words[2*i], 64)
		rank, failed := strconv.ParseInt(words[2*i+1], 10, 64)
		if err = errors.Join(err, failed); err != nil {
			return nil, fmt.Errorf("%w: %w", errReply, err)
		}
		receipts[i] = leaderboard.Receipt{Player: s.Player, Score: order(rules, z), Rank: rank}
		if rank < 0 {
			receipts[i] = leaderboard.Receipt{Player: s.Player, Loading: true}
		}
	}
	return receipts, nil
}

// send runs submitScript, and returns once the result is as durable as the route demands.
func (r *Records) send(ctx context.Context, rules *leaderboard.Rules, board string, args []string) (reply []string, err error) {
	if rules.Durability == leaderboard.InMemory {
		return r.ask(ctx, "submit", submitScript, r.board(rules, board), args...)
	}
	start := time.Now()
	reply, err = r.commit(ctx, rules.Durability, r.board(rules, board), args)
	r.options.Observe("leaderboard_submit", time.Since(start), err)
	return reply, err
}
