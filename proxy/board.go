package proxy

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cacheproxy/leaderboard/api"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// boards serves routes with a leaderboard. The zero value refuses every request of such a route.
type boards struct {
	desk    *api.Desk
	metrics *observe.Leaderboard
	failing spell // of failing operations on the records
}

// boarded reports whether a request is answered from the records of its route's board, without the upstream.
//
// Invariant: with mode on, no request of such a route reaches the upstream. So the upstream records no submission that
// is missing here.
func boarded(rq *request) bool {
	return rq.route.boards != nil && rq.mode == policy.On
}

// maxBoardName is the length of the longest name of a board, in bytes.
const maxBoardName = 256

var (
	boardUnnamed = refusal{http.StatusBadRequest, policy.UncleanPath, "the path names no board: it is unclean, or too long"}
	boardDown    = refusal{http.StatusServiceUnavailable, policy.StoreUnavailable, "the records of boards are not there; try again"}
	notJSON      = refusal{http.StatusUnsupportedMediaType, policy.RequestBody, "submissions are JSON: send Content-Type: application/json, and no Content-Encoding"}
	unmetBoard   = refusal{http.StatusPreconditionFailed, policy.Precondition, "a condition of the request does not hold; nothing was recorded"}
	notAsked     = refusal{http.StatusServiceUnavailable, policy.OriginError, "it cannot be asked whether this is allowed; nothing was recorded, try again"}
	notAllowed   = refusal{http.StatusForbidden, policy.Authorization, "this is not allowed; nothing was recorded"}
)

// serveFromBoard records a submission, or answers a read of a board.
func serveFromBoard(ex *exchange, d *decision) {
	board, named := boardOf(&ex.request)
	switch {
	case !named:
		ex.refuse(boardUnnamed)
		return
	case ex.p.boards.desk == nil:
		refuseLater(ex, boardDown)
		return
	}
	submits := ex.r.Method != http.MethodGet && ex.r.Method != http.MethodHead
	if submits && !takeSubmission(ex) {
		return
	}
	permit, ok := permitted(ex)
	if !ok {
		return
	}
	if submits {
		submit(ex, d, board, permit)
	} else {
		readBoard(ex, d, board)
	}
}

// boardOf is the name of the board that a request is about. Only a clean path names a board: the proxy and the upstream
// may clean an unclean path differently, and so find different boards.
func boardOf(rq *request) (string, bool) {
	if rq.match.Route == nil || policy.CleanTarget(rq.target) != rq.target {
		return "", false
	}
	name, ok := rq.route.Board.Render(policy.Values{Match: &rq.match, Header: rq.r.Header, Target: rq.target, Query: rq.target.Query})
	return name, ok && name != "" && len(name) <= maxBoardName && utf8.ValidString(name)
}

// takeSubmission receives the content of a submission, and reports whether the submission may be recorded. If not, the
// client has been sent a refusal.
func takeSubmission(ex *exchange) bool {
	h := ex.r.Header
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	switch {
	case len(h["Content-Encoding"]) > 0, kind != "application/json" && !strings.HasSuffix(kind, "+json"):
		ex.refuse(notJSON)
		return false
	case httpcache.ForOrigin(h): // these conditions are about a representation, and a new submission has none
		ex.refuse(unmetBoard)
		return false
	}
	err := error(nil)
	if ex.r.ContentLength <= api.MaxBody {
		err = ex.gather(api.MaxBody)
	}
	switch {
	case err != nil:
		ex.refuse(*bodyRefusal(err))
		return false
	case !ex.gathered.whole:
		refuseUnread(ex, bodyTooLarge)
		return false
	}
	return true
}

// playerField names the field of the authorizing upstream's answer that names the player as whom the client may submit.
const playerField = "X-Leaderboard-Player"

// permitted asks the route's authorizing upstream, if there is one, whether the client may make this request. If ok is
// false, the client has been sent a refusal. The desk remembers a permit for a short time. The permit then serves
// requests that are equal in method, target, client address and every field by which the upstream may tell clients
// apart.
func permitted(ex *exchange) (permit api.Permit, ok bool) {
	r, desk := ex.route.boards, ex.p.boards.desk
	if r.AuthorizeUpstream == "" {
		return permit, true
	}
	question := strings.Join([]string{r.AuthorizeUpstream, r.AuthorizePath, ex.r.Method, ex.target.Scheme, ex.target.Host, ex.target.String(), addrText(ex.clientAddr()), askerOf(ex.route, ex.r.Header)}, "\n")
	asked := time.Now()
	if permit, ok = desk.Find(question, asked); ok {
		return permit, true
	}
	refused, challenge := notAsked, []string(nil)
	res, err := subrequest(ex, r.AuthorizeUpstream, r.AuthorizePath, ex.r.Method)
	switch {
	case err != nil:
		ex.p.logger.Warn("it cannot be asked whether a client may use a board", "route", ex.route.Name, "upstream", r.AuthorizeUpstream, "error", err)
	case res.StatusCode >= 200 && res.StatusCode < 300:
		players := res.Header[playerField]
		if len(players) > 1 || len(players) == 1 && players[0] == "" {
			ex.p.logger.Warn("who is asked whether a client may use a board names no player, or several: nothing is allowed", "route", ex.route.Name, "upstream", r.AuthorizeUpstream, "field", playerField)
			break
		}
		if len(players) == 1 {
			permit.Player = players[0]
		}
		desk.Keep(question, permit, asked)
		return permit, true
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		refused, challenge = notAllowed, res.Header["Www-Authenticate"]
		refused.code = res.StatusCode
	}
	refuseAsked(ex, refused, challenge)
	return permit, false
}

// sentKey is the idempotency key of a submission, prefixed with the identity of the client (clientOf); empty: the
// submission has no key. ok is false if the field is malformed.
func sentKey(ex *exchange) (key string, ok bool) {
	lines := ex.r.Header[idempotencyField]
	if len(lines) == 0 {
		return "", true
	}
	wellFormed := len(lines) == 1 && lines[0] != "" && len(lines[0]) <= maxIdempotencyKey
	return clientOf(ex.route, ex.r.Header) + "\n" + strings.Join(lines, ""), wellFormed
}

func submit(ex *exchange, d *decision, board string, permit api.Permit) {
	key, ok := sentKey(ex)
	if !ok {
		ex.refuse(keyMalformed)
		return
	}
	a, err := ex.p.boards.desk.Submit(ex.r.Context(), ex.route.boards, api.Sent{Board: board, Key: key, As: permit.Player, Body: ex.gathered.read})
	countSubmission(ex, a, err)
	if err != nil {
		refuseBoard(ex, d, err)
		return
	}
	ex.settle(d.status(ex.start))
	h := ex.w.Header()
	h.Set("Cache-Control", "no-store")
	tellBoards(ex, nil)
	if a.Repeated {
		h.Set("Idempotent-Replayed", "true")
	}
	sendBoard(ex, http.StatusOK, a.Body)
}

// countSubmission counts, by its result, a submission to which the rules of the board were applied. Exactly one of a and
// err is nil.
func countSubmission(ex *exchange, a *api.Answer, err error) {
	result, count := "recorded", 1
	switch refused, is := errors.AsType[*api.Refusal](err); {
	case is && (refused.Code == http.StatusUnprocessableEntity || refused.Code == http.StatusConflict):
		result = "refused"
	case is && refused.Code < 500: // refused for form or permission: not counted, as in takeSubmission and permitted
		return
	case err != nil:
		result = "failed"
	case a.Repeated:
		result = "repeated"
	default:
		count = a.Count
	}
	ex.p.boards.metrics.Submitted(ex.route.Name, result, count, time.Since(ex.start))
}

func readBoard(ex *exchange, d *decision, board string) {
	a, err := ex.p.boards.desk.Read(ex.r.Context(), ex.route.boards, board, ex.target.Query, time.Now())
	if err != nil {
		refuseBoard(ex, d, err)
		return
	}
	tellBoards(ex, nil)
	ex.p.boards.metrics.Read(ex.route.Name, time.Since(ex.start), a.Age)
	stored, asked := http.Header{"Etag": {a.Tag}}, http.Header{}
	// A board has no Last-Modified, so conditions on dates are ignored (RFC 9110 §13.1.3, §13.1.4).
	for _, name := range [...]string{"If-Match", "If-None-Match"} {
		if lines := ex.r.Header[name]; len(lines) > 0 {
			asked[name] = lines
		}
	}
	if !httpcache.MeetsPreconditions(asked, stored) {
		ex.refuse(unmetBoard)
		return
	}
	ex.settle(d.status(ex.start))
	h := ex.w.Header()
	h["Etag"] = stored["Etag"]
	// Caches downstream may store the answer but have to revalidate it for each use. If such a cache served the answer
	// for a second without asking, a score that was recorded meanwhile would be missing.
	h.Set("Cache-Control", "no-cache")
	if ex.route.boards.AuthorizeUpstream != "" {
		h.Set("Cache-Control", "private, no-cache")
	}
	if httpcache.NotModified(asked, ex.r.Method, http.StatusOK, stored, ex.start) {
		ex.edit(h, false)
		ex.addCacheStatus(h)
		ex.w.WriteHeader(http.StatusNotModified)
		return
	}
	sendBoard(ex, http.StatusOK, a.Body)
}

// sendBoard sends an answer about a board, whose body is JSON.
func sendBoard(ex *exchange, code int, body []byte) {
	h := ex.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	ex.edit(h, false)
	ex.addCacheStatus(h)
	ex.w.WriteHeader(code)
	if ex.r.Method != http.MethodHead {
		_, _ = ex.w.Write(body) // an error means that the client has left
	}
}

// tellBoards logs the beginning and the end of a time in which operations on the records fail. err is the result of one
// operation; nil: the operation has succeeded.
func tellBoards(ex *exchange, err error) {
	ex.p.boards.failing.tell(ex.p.logger, ex, err, "records of boards do not answer as they should", "records of boards answer again")
}

// refuseBoard answers a request that the desk has refused or failed. 404, for a player who is not on the board, counts
// as an ordinary answer.
func refuseBoard(ex *exchange, d *decision, err error) {
	refused := &api.Refusal{Code: http.StatusServiceUnavailable, Text: boardDown.text}
	errors.As(err, &refused)
	switch refused.Code {
	case http.StatusServiceUnavailable:
		if refused.Err != nil {
			tellBoards(ex, refused.Err)
		}
		refuseLater(ex, refusal{refused.Code, policy.StoreUnavailable, refused.Text})
	case http.StatusNotFound:
		ex.settle(d.status(ex.start))
		ex.answer(refused.Code, refused.Text)
	case http.StatusForbidden:
		ex.refuse(refusal{refused.Code, policy.Authorization, refused.Text})
	default:
		ex.refuse(refusal{refused.Code, policy.RequestBody, refused.Text})
	}
}

// mirrors reports whether a submission goes to the upstream, and is recorded here too if the upstream accepts the
// submission.
func mirrors(rq *request) bool {
	return rq.route.boards != nil && rq.mode == policy.Observe && rq.action == policy.WriteAction
}

// mirrorSubmission records a submission that the upstream has accepted, before the client gets the answer of the
// upstream. So once the route is switched on, no submission is missing here that a client knows to be accepted, unless
// recording has failed. A failure is counted and logged, and the client gets the answer of the upstream all the same.
func mirrorSubmission(ex *exchange) {
	if !mirrors(&ex.request) {
		return
	}
	board, named := boardOf(&ex.request)
	key, ok := sentKey(ex)
	err := errors.New("its path names no board, or its body or Idempotency-Key was not received whole")
	if named && ok && ex.gathered.whole && ex.p.boards.desk != nil {
		var a *api.Answer
		a, err = ex.p.boards.desk.Submit(ex.r.Context(), ex.route.boards, api.Sent{Board: board, Key: key, Body: ex.gathered.read})
		countSubmission(ex, a, err)
	}
	if err != nil {
		ex.p.boards.metrics.Unmirrored(ex.route.Name)
	}
	tellBoards(ex, err)
}
