package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/leaderboard/api"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// newBoardRig is a proxy with a route that keeps boards in memory, or in records.
func newBoardRig(t *testing.T, backend http.HandlerFunc, records leaderboard.Records, change func(*api.Route, *policy.Route, *rigOptions)) *behindRig {
	t.Helper()
	b := &api.Route{
		Player: "player", Score: "score", MinScore: 0, MaxScore: 1000, MaxBatch: 3,
		Rules: &leaderboard.Rules{Route: "scores", Window: leaderboard.Window{Span: leaderboard.AllTime}, Top: 10, MaxBoards: 2, Repeats: time.Hour},
	}
	var err error
	for name, at := range map[string]*api.Form{"board": &b.Shape.Board, "entry": &b.Shape.Entry, "player": &b.Shape.Player, "receipt": &b.Shape.Receipt} {
		names := map[string][]string{"board": api.BoardNames, "entry": api.EntryNames, "player": api.PlayerNames, "receipt": api.ReceiptNames}[name]
		if *at, err = api.ParseForm(strings.ReplaceAll(api.DefaultShape[name], `, "at": {at}`, ""), names); err != nil {
			t.Fatal(err)
		}
	}
	r := routeFor(t, "scores", func(r *policy.Route) { r.Policy, r.Board = policy.Leaderboard, template(t, "{game}") },
		"POST /games/{game}/scores", "GET /games/{game}/leaderboard")
	o := rigOptions{desk: api.NewDesk(records, time.Second), boards: map[string]*api.Route{"scores": b}}
	if change != nil {
		change(b, r, &o)
	}
	rig := newRig(t, backend, o, r)
	rig.proxy.boards.metrics = rig.metrics.Leaderboard(func() *observe.HeldBoards { return &observe.HeldBoards{} })
	return &behindRig{rig, nil}
}

// counted is how many submissions were counted, with a result or with any.
func (b *behindRig) counted(result string) int {
	b.t.Helper()
	return count(b.t, b.metrics, "cacheproxy_leaderboard_submissions_total", result)
}

func (b *behindRig) submit(game, body string, header ...string) answer {
	b.t.Helper()
	return b.send("POST", "/games/"+game+"/scores", body, append([]string{"Content-Type", "application/json"}, header...)...)
}

func TestBoard(t *testing.T) {
	b := newBoardRig(t, untouched(t), nil, nil)
	for _, c := range []struct{ body, want string }{
		{`{"player": "ada", "score": 7}`, `{"player": "ada", "score": 7, "rank": 1, "beyond": null}`},
		{`[{"player": "bob", "score": 9}, {"player": "ada", "score": 3, "level": {"n": 1}}]`,
			`[{"player": "bob", "score": 9, "rank": 1, "beyond": null}, {"player": "ada", "score": 7, "rank": 2, "beyond": null}]`},
	} {
		a := b.submit("chess", c.body)
		if a.status != 200 || strings.TrimSpace(a.body) != c.want || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Cache-Status") != "cacheproxy; detail=board" {
			t.Errorf("%s: %d %s %v", c.body, a.status, a.body, a.header)
		}
	}
	const top = `{"board": "chess", "players": 2, "entries": [{"rank": 1, "player": "bob", "score": 9}, {"rank": 2, "player": "ada", "score": 7}]}`
	a := b.do("GET", "/games/chess/leaderboard?_=1")
	if a.status != 200 || strings.TrimSpace(a.body) != top || a.header.Get("Cache-Control") != "no-cache" || a.header.Get("Content-Type") != "application/json" ||
		a.header.Get("Cache-Status") != "cacheproxy; detail=board" {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	for query, want := range map[string]string{
		"?top=1":          `{"board": "chess", "players": 2, "entries": [{"rank": 1, "player": "bob", "score": 9}]}`,
		"?around=ada&n=1": top,
		"?player=ada":     `{"rank": 2, "player": "ada", "score": 7, "beyond": null}`,
	} {
		if a := b.do("GET", "/games/chess/leaderboard"+query); a.status != 200 || strings.TrimSpace(a.body) != want {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	tag := a.header.Get("Etag")
	for _, field := range []string{"If-Modified-Since", "If-Unmodified-Since"} {
		for _, date := range []string{"Fri, 27 Nov 2099 00:00:00 GMT", "Fri, 27 Nov 2020 00:00:00 GMT"} {
			if a := b.do("GET", "/games/chess/leaderboard", field, date); a.status != 200 {
				t.Errorf("%s: %s: %d", field, date, a.status)
			}
		}
	}
	if again := b.do("GET", "/games/chess/leaderboard", "If-None-Match", tag); again.status != 304 || again.header.Get("Etag") != tag || again.body != "" {
		t.Errorf("a conditional read (RFC 9110 §13.1.2): %d %v", again.status, again.header)
	}
	if head := b.do("HEAD", "/games/chess/leaderboard"); head.status != 200 || head.header.Get("Etag") != tag || head.body != "" || head.header.Get("Content-Length") == "0" {
		t.Errorf("HEAD (RFC 9110 §9.3.2): %d %v", head.status, head.header)
	}
	if other := b.do("GET", "/games/chess/leaderboard", "If-Match", `"other"`); other.status != 412 {
		t.Errorf("If-Match (RFC 9110 §13.1.1): %d", other.status)
	}
	b.submit("chess", `{"player": "eve", "score": 8}`)
	if changed := b.do("GET", "/games/chess/leaderboard", "If-None-Match", tag); changed.status != 200 || !strings.Contains(changed.body, "eve") {
		t.Errorf("its own score is not seen at once: %d %s", changed.status, changed.body)
	}
	if empty := b.do("GET", "/games/go/leaderboard"); empty.status != 200 || strings.TrimSpace(empty.body) != `{"board": "go", "players": 0, "entries": []}` {
		t.Errorf("a board of nobody: %d %s", empty.status, empty.body)
	}
}

// Of what is refused nothing is recorded, and the upstream does not see it. What the rules of the board refuse is counted, and nothing else.
func TestBoardRefuses(t *testing.T) {
	b := newBoardRig(t, untouched(t), nil, nil)
	b.submit("chess", `{"player": "ada", "score": 7}`)
	before := b.do("GET", "/games/chess/leaderboard").body
	for body, want := range map[string]int{
		"": 400, "{": 400, "7": 400, "null": 400, "[]": 400, `[7]`: 400, `{"player": "x"}`: 400, `{"score": 1}`: 400, `{"player": 7, "score": 1}`: 400,
		`{"player": "x", "score": "1"}`: 400, `{"player": "x", "score": null}`: 400, `{"player": "x", "score": NaN}`: 400, `{"player": "x", "score": true}`: 400,
		`{"player": "x", "score": 1, "score": 2}`: 400, `{"player": "x", "score": 1} {}`: 400, "{\"player\": \"\xff\", \"score\": 1}": 400,
		`{"player": "x", "score": 1e999}`: 422, `{"player": "x", "score": 9007199254740993}`: 422, `{"player": "x", "score": -1}`: 422, `{"player": "x", "score": 1001}`: 422,
		`{"player": "", "score": 1}`: 422, `{"player": "a\u0000", "score": 1}`: 422, `{"player": "\ud800", "score": 1}`: 422,
		`{"player": "` + strings.Repeat("x", 257) + `", "score": 1}`: 422, `[{"player": "x", "score": 1}, {"player": "y", "score": -1}]`: 422,
		`[{"player": "x", "score": 1}, {"player": "x", "score": 1}, {"player": "x", "score": 1}, {"player": "x", "score": 1}]`: 413,
		strings.Repeat(" ", api.MaxBody+1): 413,
	} {
		counted, ruled := b.counted(""), 0
		if want == 422 {
			ruled = 1
		}
		if a := b.submit("chess", body, "Accept", "application/json"); a.status != want || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.60q: %d %s, want %d", body, a.status, a.body, want)
		}
		if n := b.counted("") - counted; n != ruled {
			t.Errorf("%.60q: %d were counted, want %d", body, n, ruled)
		}
	}
	counted := b.counted("")
	for name, c := range map[string]struct {
		a    answer
		want int
	}{
		"text":               {b.send("POST", "/games/chess/scores", `{"player": "x", "score": 1}`, "Content-Type", "text/plain"), 415},
		"a coding":           {b.submit("chess", `{"player": "x", "score": 1}`, "Content-Encoding", "gzip"), 415},
		"a condition":        {b.submit("chess", `{"player": "x", "score": 1}`, "If-Match", "*"), 412},
		"a key of no length": {b.submit("chess", `{"player": "x", "score": 1}`, "Idempotency-Key", ""), 400},
		"an unclean path":    {b.send("POST", "/games/x/../chess/scores", `{"player": "x", "score": 1}`, "Content-Type", "application/json"), 400},
		"a long name":        {b.submit(strings.Repeat("x", 300), `{"player": "x", "score": 1}`), 400},
		"top=0":              {b.do("GET", "/games/chess/leaderboard?top=0"), 400},
		"top=11":             {b.do("GET", "/games/chess/leaderboard?top=11"), 400},
		"two questions":      {b.do("GET", "/games/chess/leaderboard?top=1&player=ada"), 400},
		"a name twice":       {b.do("GET", "/games/chess/leaderboard?player=ada&player=bob"), 400},
		"nobody":             {b.do("GET", "/games/chess/leaderboard?player=x"), 404},
		"around nobody":      {b.do("GET", "/games/chess/leaderboard?around=x"), 404},
		"a purge":            {b.do("PURGE", "/games/chess/leaderboard"), 403},
	} {
		if c.a.status != c.want {
			t.Errorf("%s: %d %s, want %d", name, c.a.status, c.a.body, c.want)
		}
	}
	if n := b.counted("") - counted; n > 0 {
		t.Errorf("%d were counted for their form", n)
	}
	b.submit("go", `{"player": "x", "score": 1}`)
	counted = b.counted("refused")
	if a := b.submit("third", `{"player": "x", "score": 1}`); a.status != 409 || b.counted("refused") != counted+1 {
		t.Errorf("one board too many: %d %s, %d were counted", a.status, a.body, b.counted("refused")-counted)
	}
	if after := b.do("GET", "/games/chess/leaderboard").body; after != before {
		t.Errorf("what was refused has changed the board: %s", after)
	}
}

// An idempotency key stands for one submission of one client.
func TestBoardIdempotencyKey(t *testing.T) {
	b := newBoardRig(t, untouched(t), nil, func(r *api.Route, _ *policy.Route, _ *rigOptions) { r.Rules.Aggregate = leaderboard.Sum })
	first := b.submit("chess", `{"player": "ada", "score": 7}`, "Idempotency-Key", "k", "Authorization", "a")
	again := b.submit("chess", `{ "score": 7.0, "player": "ada" }`, "Idempotency-Key", "k", "Authorization", "a")
	if again.status != 200 || again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" || first.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%d %s %v", again.status, again.body, again.header)
	}
	if other := b.submit("chess", `{"player": "ada", "score": 8}`, "Idempotency-Key", "k", "Authorization", "a"); other.status != 422 {
		t.Errorf("the key for another submission: %d", other.status)
	}
	if other := b.submit("chess", `{"player": "ada", "score": 7}`, "Idempotency-Key", "k", "Authorization", "b"); other.status != 200 || !strings.Contains(other.body, `"score": 14`) {
		t.Errorf("the key of another client: %d %s", other.status, other.body)
	}
}

// The service that knows the clients is asked before anything is recorded or shown, and once in a while for the same.
func TestBoardAuthorize(t *testing.T) {
	var asked atomic.Int64
	var status atomic.Int64
	auth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Www-Authenticate", "Bearer")
		w.Header().Set("X-Leaderboard-Player", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if r.Header.Get("X-Forwarded-Method") == "" || !strings.HasPrefix(r.Header.Get("X-Forwarded-Uri"), "/games/chess/") {
			w.WriteHeader(500)
		}
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(auth.Close)
	u, _ := url.Parse(auth.URL)
	b := newBoardRig(t, untouched(t), nil, func(r *api.Route, _ *policy.Route, o *rigOptions) {
		r.AuthorizeUpstream, r.AuthorizePath = "auth", "/may"
		o.others = []upstream.Options{{Name: "auth", URL: u}}
	})
	for _, c := range []struct{ says, want int }{{401, 401}, {403, 403}, {302, 503}, {500, 503}} {
		status.Store(int64(c.says))
		for _, a := range []answer{b.submit("chess", `{"player": "ada", "score": 7}`, "Authorization", "Bearer ada"), b.do("GET", "/games/chess/leaderboard", "Authorization", "Bearer ada")} {
			if a.status != c.want || c.want == 401 && a.header.Get("Www-Authenticate") != "Bearer" {
				t.Errorf("it says %d: %d %v, want %d", c.says, a.status, a.header, c.want)
			}
		}
	}
	status.Store(204)
	asked.Store(0)
	for range 3 {
		if a := b.submit("chess", `{"player": "ada", "score": 7}`, "Authorization", "Bearer ada"); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("it was asked %d times for the same", n)
	}
	if a := b.submit("chess", `{"player": "bob", "score": 7}`, "Authorization", "Bearer ada"); a.status != 403 {
		t.Errorf("as another player: %d %s", a.status, a.body)
	}
	if n := b.counted(""); n != 3 {
		t.Errorf("%d submissions were counted, of 3 that were allowed", n)
	}
	a := b.do("GET", "/games/chess/leaderboard", "Authorization", "Bearer ada")
	if a.status != 200 || a.header.Get("Cache-Control") != "private, no-cache" || strings.Contains(a.body, "bob") {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	status.Store(403)
	if a := b.do("GET", "/games/chess/leaderboard", "Authorization", "Bearer eve"); a.status != 403 {
		t.Errorf("another client has what one was allowed: %d", a.status)
	}
	auth.Close()
	if a := b.do("GET", "/games/chess/leaderboard", "Authorization", "Bearer bob"); a.status != 503 {
		t.Errorf("it is away: %d", a.status)
	}
}

// A service that compares the text of what is asked sees each target in its one form, and not who the client says that it is; an answer that
// does not say which one player is meant allows nothing.
func TestBoardAuthorizeFailsClosed(t *testing.T) {
	var players []string
	auth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if players != nil {
			w.Header()["X-Leaderboard-Player"] = players
		}
		if uri := r.Header.Get("X-Forwarded-Uri"); strings.HasPrefix(uri, "/games/go/") || r.Header.Get("X-Leaderboard-Player") != "" {
			w.WriteHeader(403)
		}
	}))
	t.Cleanup(auth.Close)
	u, _ := url.Parse(auth.URL)
	b := newBoardRig(t, untouched(t), nil, func(r *api.Route, _ *policy.Route, o *rigOptions) {
		r.AuthorizeUpstream, r.AuthorizePath = "auth", "/may"
		o.others = []upstream.Options{{Name: "auth", URL: u}}
	})
	for game, want := range map[string]int{"chess": 200, "go": 403, "%67o": 403, "g%6F": 403} {
		if a := b.submit(game, `{"player": "ada", "score": 7}`, "X-Leaderboard-Player", "eve"); a.status != want {
			t.Errorf("%s: %d %s, want %d", game, a.status, a.body, want)
		}
	}
	for _, c := range []struct {
		players []string
		want    int
	}{{[]string{""}, 503}, {[]string{"ada", "bob"}, 503}, {[]string{"", "ada"}, 503}, {[]string{"ada"}, 200}} {
		players = c.players
		if a := b.submit("chess", `{"player": "ada", "score": 7}`, "Authorization", fmt.Sprint(c.players)); a.status != c.want {
			t.Errorf("%q: %d %s, want %d", c.players, a.status, a.body, c.want)
		}
	}
	auth.Close()
}

// brokenRecords are records that answer with an error.
type brokenRecords struct {
	leaderboard.Records
	err error
}

func (f brokenRecords) Submit(context.Context, *leaderboard.Rules, leaderboard.Request) ([]leaderboard.Receipt, bool, error) {
	return nil, false, f.err
}

func (f brokenRecords) Top(context.Context, *leaderboard.Rules, string, int) (leaderboard.View, error) {
	return leaderboard.View{}, f.err
}

func TestBoardWithoutRecords(t *testing.T) {
	for _, err := range []error{errors.New("refused"), leaderboard.ErrLoading, leaderboard.ErrNotDurable, context.DeadlineExceeded} {
		b := newBoardRig(t, untouched(t), brokenRecords{err: err}, nil)
		for _, a := range []answer{b.submit("chess", `{"player": "ada", "score": 7}`), b.do("GET", "/games/chess/leaderboard")} {
			if a.status != 503 || a.header.Get("Retry-After") == "" || a.header.Get("Etag") != "" {
				t.Errorf("%v: %d %v", err, a.status, a.header)
			}
		}
	}
}

// An observed route is the upstream's, and what the upstream accepts is recorded before its client hears of it; switched off it is the
// upstream's alone.
func TestBoardModes(t *testing.T) {
	status := 201
	b := newBoardRig(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Seen", string(body))
		w.WriteHeader(status)
		fmt.Fprint(w, "the upstream's")
	}, nil, func(_ *api.Route, r *policy.Route, _ *rigOptions) { r.Mode = policy.Observe })
	submit := func(player string) {
		t.Helper()
		a := b.submit("chess", `{"player": "`+player+`", "score": 7}`)
		if a.status != status || a.body != "the upstream's" || !strings.Contains(a.header.Get("Seen"), player) {
			t.Errorf("%d %s %v", a.status, a.body, a.header)
		}
	}
	submit("ada")
	status = 400
	submit("bob")
	status = 200
	if a := b.do("GET", "/games/chess/leaderboard"); a.body != "the upstream's" || a.header.Get("Cache-Status") != "cacheproxy; fwd=bypass; fwd-status=200; detail=observe" {
		t.Errorf("a read: %s %v", a.body, a.header)
	}
	if e, err := b.proxy.Explain("GET", "http://h/games/chess/leaderboard", http.Header{}); err != nil || e.Decision != "pass" || e.Reason != "observe" {
		t.Errorf("%+v %v", e, err)
	}
	setMode(t, b, policy.Off)
	submit("eve")
	if a := b.do("GET", "/games/chess/leaderboard"); !strings.HasSuffix(a.header.Get("Cache-Status"), "detail=mode-off") {
		t.Errorf("a read while it is off: %v", a.header)
	}
	setMode(t, b, policy.On)
	if a := b.do("GET", "/games/chess/leaderboard"); a.status != 200 || !strings.Contains(a.body, "ada") || strings.Contains(a.body, "bob") || strings.Contains(a.body, "eve") {
		t.Errorf("switched on: %d %s", a.status, a.body)
	}
}

func setMode(t *testing.T, b *behindRig, mode policy.Mode) {
	t.Helper()
	if err := b.proxy.SetMode("scores", ModeOrder{Mode: mode}); err != nil {
		t.Fatal(err)
	}
}

func TestBoardModeRefusesAShare(t *testing.T) {
	b := newBoardRig(t, untouched(t), nil, nil)
	if err := b.proxy.SetMode("scores", ModeOrder{Mode: policy.On, Share: 0.1}); err == nil {
		t.Error("a share of the submissions may be missing")
	}
}

// The access log and explain say what becomes of such a request.
func TestBoardIsToldOf(t *testing.T) {
	b, log := newBoardRig(t, untouched(t), nil, nil), make(lines, 10)
	var err error
	if b.proxy.access, err = observe.NewAccessLog(observe.AccessLogOptions{Format: "json", Hits: 1, Others: 1, Output: log}); err != nil {
		t.Fatal(err)
	}
	b.submit("chess", `{"player": "lovelace", "score": 7}`)
	if line := <-log; !strings.Contains(line, `"outcome":"board"`) || !strings.Contains(line, `"route":"scores"`) || strings.Contains(line, "lovelace") {
		t.Error(line)
	}
	e, err := b.proxy.Explain("POST", "http://h/games/chess/scores", http.Header{})
	if err != nil || e.Decision != "board" || e.CacheStatus != "cacheproxy; detail=board" || !strings.Contains(e.Note, `"chess"`) {
		t.Errorf("%+v %v", e, err)
	}
}
