package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/leaderboard/memory"
)

// Desk answers requests for boards. A Desk is safe for concurrent use.
type Desk struct {
	Permits
	records leaderboard.Records
	timeout time.Duration
	tops    tops
}

// NewDesk makes a desk. If records is nil, the records are in this process, and are lost when it ends. timeout bounds
// the wait for the records in one request.
func NewDesk(records leaderboard.Records, timeout time.Duration) *Desk {
	if records == nil {
		records = memory.New(time.Now)
	}
	return &Desk{records: records, timeout: timeout}
}

// Sent is a submission of a client.
type Sent struct {
	Board string
	Key   string // the idempotency key, with the client that it belongs to; empty: none
	As    string // the only player that the client may submit for; empty: any
	Body  []byte
}

// Answer is the answer to a client.
type Answer struct {
	Body     []byte
	Tag      string        // entity-tag of a read; empty: not a read
	Age      time.Duration // since the records were read
	Repeated bool          // a submission with this key was recorded before
	Count    int           // number of submissions that were recorded
}

// Submit records a submission. The error is a *Refusal.
func (d *Desk) Submit(ctx context.Context, r *Route, s Sent) (*Answer, error) {
	list, batch, refused := r.parse(s.Body)
	if refused != nil {
		return nil, refused
	}
	for _, of := range list {
		if s.As != "" && of.Player != s.As {
			return nil, refusef(http.StatusForbidden, "the client may submit as one player only, and %q is another", of.Player)
		}
	}
	request := leaderboard.Request{Board: s.Board, Submissions: list}
	if s.Key != "" {
		request.Key, request.Print = digest([]byte(s.Key)), printOf(list)
	}
	// A client that leaves does not cancel the call: otherwise nobody would know whether the submission was recorded.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.timeout)
	defer cancel()
	receipts, repeated, err := d.records.Submit(ctx, r.Rules, request)
	// After an error too, since the submission may be recorded.
	if err != nil || concerns(r, receipts) {
		d.tops.drop(boardID{r, s.Board})
	}
	if err != nil {
		return nil, r.refusalOf(err, "", true)
	}
	a := &Answer{Body: r.receipts(s.Board, receipts, batch), Repeated: repeated}
	if !repeated {
		a.Count = len(list)
	}
	return a, nil
}

// Read answers a question about a board. The error is a *Refusal.
func (d *Desk) Read(ctx context.Context, r *Route, board, query string, now time.Time) (*Answer, error) {
	q, refused := r.ask(query)
	if refused != nil {
		return nil, refused
	}
	bounded, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	var body []byte
	var err error
	begun := now
	switch {
	case q.around != "":
		var v leaderboard.View
		if v, err = d.records.Around(bounded, r.Rules, board, q.around, q.n); err == nil {
			body = r.view(board, v)
		}
	case q.player != "":
		var e leaderboard.Entry
		e, err = d.records.Player(bounded, r.Rules, board, q.player)
		if errors.Is(err, leaderboard.ErrBeyond) { // may also be a player that never submitted
			e, err = leaderboard.Entry{Player: q.player}, nil
		}
		if err == nil {
			body = r.one(board, e)
		}
	default:
		body, begun, err = d.tops.of(bounded, boardID{r, board}, q.top, now, func() ([]byte, error) {
			// The read continues for all that wait, even if one of them leaves.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.timeout)
			defer cancel()
			v, err := d.records.Top(ctx, r.Rules, board, q.top)
			if err != nil {
				return nil, err
			}
			return r.view(board, v), nil
		})
	}
	if err != nil {
		return nil, r.refusalOf(err, q.around+q.player, false)
	}
	return &Answer{Body: body, Tag: tagOf(body), Age: max(now.Sub(begun), 0)}, nil
}

// tagOf returns a strong entity-tag (RFC 9110 §8.8.3), since the tag is made of the bytes of the body.
func tagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// digest is a short name for bytes, for which nobody can find other bytes.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// printOf is the same for equal submissions, however their JSON is written.
func printOf(list []leaderboard.Submission) string {
	var b []byte
	for _, s := range list {
		b = fmt.Appendf(b, "%d:%s=%s;", len(s.Player), s.Player, strconv.FormatFloat(s.Score, 'g', -1, 64))
	}
	return digest(b)
}
