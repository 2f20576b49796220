package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"cacheproxy/leaderboard"
)

// Refusal is the reason for which a request is refused, in words for its client.
type Refusal struct {
	Code int // 4xx: the request is wrong. 503: the client may repeat the request.
	Text string
	Err  error // error of the records, for the log; nil: the records refused, or were not asked
}

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

// Unwrap returns the error of the records.
func (r *Refusal) Unwrap() error { return r.Err }

func refusef(code int, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Text: fmt.Sprintf(format, args...)}
}

// refusalOf turns an error of the records into a refusal. submits says that the request was a submission.
func (r *Route) refusalOf(err error, player string, submits bool) *Refusal {
	again := ""
	if submits {
		again = "; repeat the submission, with the same Idempotency-Key if it has one"
	}
	switch {
	case errors.Is(err, leaderboard.ErrTooManyBoards):
		return refusef(http.StatusConflict, "there are as many boards as there may be, so none was made for this submission, and nothing was recorded")
	case errors.Is(err, leaderboard.ErrKeyReused):
		return refusef(http.StatusUnprocessableEntity, "the Idempotency-Key was used for another submission; use a new one for each")
	case errors.Is(err, leaderboard.ErrTooLarge):
		return refusef(http.StatusUnprocessableEntity, "the sum of a player's scores would be beyond 2^53, up to which it is exact; nothing was recorded")
	case errors.Is(err, leaderboard.ErrNotThere):
		return refusef(http.StatusNotFound, "%q is not on the board", player)
	case errors.Is(err, leaderboard.ErrBeyond):
		return refusef(http.StatusNotFound, "%q is beyond the %d ranks that are kept", player, r.Rules.Top)
	case errors.Is(err, leaderboard.ErrScore):
		return refusef(http.StatusUnprocessableEntity, "a score cannot be kept as it is; nothing was recorded")
	case errors.Is(err, leaderboard.ErrLoading):
		return &Refusal{http.StatusServiceUnavailable, "the boards are being read back from their archive, try again", nil}
	case errors.Is(err, leaderboard.ErrOtherRules):
		return &Refusal{http.StatusServiceUnavailable, "the board was made under other rules than those of the route, so it is neither written nor read", err}
	case errors.Is(err, leaderboard.ErrFull):
		return &Refusal{http.StatusServiceUnavailable, "the records are full; nothing was recorded" + again, err}
	case errors.Is(err, leaderboard.ErrNotDurable):
		return &Refusal{http.StatusServiceUnavailable, "it is not certain that the submission would survive, so it is not acknowledged; it may be recorded all the same" + again, err}
	case submits:
		return &Refusal{http.StatusServiceUnavailable, "the records do not answer, so the submission is not acknowledged; it may be recorded all the same" + again, err}
	case errors.Is(err, context.Canceled):
		return &Refusal{http.StatusServiceUnavailable, "the request ended before the board was read", nil}
	}
	return &Refusal{http.StatusServiceUnavailable, "the records do not answer, try again", err}
}
