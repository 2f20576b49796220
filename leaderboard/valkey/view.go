package valkey

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"cacheproxy/leaderboard"

	"github.com/valkey-io/valkey-go"
)

// Top returns the first n places of a board. A board without submissions is empty.
func (r *Records) Top(ctx context.Context, rules *leaderboard.Rules, board string, n int) (leaderboard.View, error) {
	return r.view(ctx, rules, board, "top", strconv.Itoa(n))
}

// All returns every place of a board in the records, also places beyond Top where the records hold every player.
func (r *Records) All(ctx context.Context, rules *leaderboard.Rules, board string) (leaderboard.View, error) {
	return r.view(ctx, rules, board, "all", strconv.Itoa(math.MaxInt32))
}

// Around returns n places before and after the best place of a player. The error is ErrNotThere, or ErrBeyond if the
// player may be on the board below the places that are kept.
func (r *Records) Around(ctx context.Context, rules *leaderboard.Rules, board, player string, n int) (leaderboard.View, error) {
	return r.view(ctx, rules, board, "around", strconv.Itoa(n), nameOf(player))
}

// Player returns the best place of a player. The errors are those of Around.
func (r *Records) Player(ctx context.Context, rules *leaderboard.Rules, board, player string) (leaderboard.Entry, error) {
	v, err := r.Around(ctx, rules, board, player, 0)
	if err != nil {
		return leaderboard.Entry{}, err
	}
	if len(v.Entries) != 1 {
		return leaderboard.Entry{}, errReply
	}
	return v.Entries[0], nil
}

// Boards returns the names of the route's boards, in the order of bytes.
func (r *Records) Boards(ctx context.Context, rules *leaderboard.Rules) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	client, err := r.options.Connection.Client()
	if err != nil {
		return nil, fmt.Errorf("list boards: %w", err)
	}
	names, err := client.Do(ctx, client.B().Hkeys().Key(r.base(rules)+"b").Build()).AsStrSlice()
	if err != nil && !valkey.IsValkeyNil(err) {
		return nil, fmt.Errorf("list boards: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

func (r *Records) view(ctx context.Context, rules *leaderboard.Rules, board string, what ...string) (leaderboard.View, error) {
	incarnation, _ := r.book.known(rules, board)
	empty := leaderboard.View{Version: "0"}
	for tries := 0; ctx.Err() == nil; tries++ {
		reply, err := r.ask(ctx, "read", readScript, r.board(rules, board), append(r.arguments(rules, incarnation), what...)...)
		if err != nil {
			return leaderboard.View{}, err
		}
		switch reply[0] {
		case "OK":
			return viewOf(rules, reply)
		case "RULES":
			return empty, leaderboard.ErrOtherRules
		case "ABSENT":
			return empty, leaderboard.ErrNotThere
		case "BEYOND":
			return empty, leaderboard.ErrBeyond
		case "AGAIN":
			tries = 0 // each reply has done a part
		case "TIME":
			if len(reply) != 2 || tries > 8 {
				return empty, errSlide
			}
			r.learn(reply[1])
		case "NONE", "LOADING":
			if rules.Archived {
				s, err := r.state(ctx, rules, board)
				switch {
				case err != nil:
					return empty, err
				case s.loading:
					return empty, leaderboard.ErrLoading
				case reply[0] == "LOADING" && tries == 0:
					incarnation = s.incarnation
					continue
				case reply[0] == "LOADING" || s.live: // the board was lost, alone or with others on the same server of a cluster
					if err := r.fault(ctx, rules, s.incarnation); err != nil {
						return empty, err
					}
					return empty, leaderboard.ErrLoading
				}
			}
			if what[0] == "around" {
				return empty, leaderboard.ErrNotThere
			}
			return empty, nil
		default:
			return empty, fmt.Errorf("%w: it begins with %q", errReply, reply[0])
		}
	}
	return empty, fmt.Errorf("read board: %w", ctx.Err())
}

// viewOf parses OK, version, number of places, rank of the first, clock, and pairs of member and z.
func viewOf(rules *leaderboard.Rules, reply []string) (v leaderboard.View, err error) {
	if len(reply) < 5 || len(reply)%2 == 0 {
		return v, errReply
	}
	v.Version = reply[1]
	if v.Players, err = strconv.ParseInt(reply[2], 10, 64); err != nil {
		return v, fmt.Errorf("%w: %w", errReply, err)
	}
	v.Full = rules.Top > 0 && v.Players >= int64(rules.Top)
	first, err := strconv.ParseInt(reply[3], 10, 64)
	if err != nil {
		return v, fmt.Errorf("%w: %w", errReply, err)
	}
	v.Entries = make([]leaderboard.Entry, 0, (len(reply)-5)/2)
	for i := 5; i < len(reply); i += 2 {
		e := leaderboard.Entry{Rank: first + int64(len(v.Entries))}
		z, err := strconv.ParseFloat(reply[i+1], 64)
		if err != nil {
			return v, fmt.Errorf("%w: %w", errReply, err)
		}
		e.Score = order(rules, z)
		if e.Player, e.At, err = read(rules, reply[i]); err != nil {
			return v, err
		}
		v.Entries = append(v.Entries, e)
	}
	return v, nil
}
