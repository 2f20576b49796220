package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

func TestPurgeByName(t *testing.T) {
	l := newListener().start(t)
	for _, c := range []struct{ target, member string }{
		{"/keys/v2:product:17", "kv2:product:17"},
		{"/keys/v2:product:a%2Fb", "kv2:product:a/b"},
		{"/keys/v2:product:a%252Fb", "kv2:product:a%2Fb"}, // unescaped once
		{"/keys/a//b", "ka//b"},
		{"/keys/a/../b", "ka/../b"},
		{"/keys/./a/", "k./a/"},
		{"//keys/a", ""},
		{"/keys/a+b%20c", "ka+b c"},
		{"/keys/a%3Fb?soft=0", "ka?b"},
		{"/keys/%FF", "k\xff"},
		{"/tags/product-list", "tproduct-list"},
		{"/tags//keys/x", "t/keys/x"},
		{"http://elsewhere/tags/a//b", ""},
		{"http://HOST/tags/a//b", "ta//b"}, // RFC 9112 §3.2.2: absolute form
	} {
		l.purges = nil
		res, body := l.ask(t, "DELETE "+c.target, "")
		if c.member == "" {
			if res.StatusCode < 400 || len(l.purges) != 0 {
				t.Errorf("%s: %d %s", c.target, res.StatusCode, body)
			}
			continue
		}
		if res.StatusCode != 200 {
			t.Errorf("%s: %d %s", c.target, res.StatusCode, body)
			continue
		}
		if p := l.last(t); len(p.Members) != 1 || string(p.Members[0]) != c.member || p.Soft || p.Wait != invalidation.WaitAll {
			t.Errorf("%s: purged %+v", c.target, p)
		}
	}
}

func TestPurgeReceipt(t *testing.T) {
	lost := errors.New("valkey: connection refused")
	for _, c := range []struct {
		name, wait string
		receipt    invalidation.Receipt
		err        error
		status     int
		body       string
	}{
		{"held", "all", held(), nil, 200, `{"id":"7-1","seq":7,"instances":2,"acked":["a","b"],"reaped":[],"took_ms":1.5}`},
		{"reaped", "all", invalidation.Receipt{Reaped: []string{"c"}, Held: true}, nil, 200, `{"id":"","seq":0,"instances":0,"acked":[],"reaped":["c"],"took_ms":0}`},
		{"not held, no error", "all", invalidation.Receipt{Recorded: true}, nil, 503, `{"recorded":true,"held":false}`},
		{"not confirmed", "all", invalidation.Receipt{Recorded: true}, lost, 503, `{"recorded":true,"held":false}`},
		{"held, but an error", "all", held(), lost, 503, `{"recorded":true,"held":false}`},
		{"not recorded", "all", invalidation.Receipt{}, lost, 503, `{"recorded":false,"held":false,"error":"the purge is not recorded, repeat it: valkey: connection refused"}`},
		{"recorded", "none", invalidation.Receipt{ID: "7-1", Seq: 7, Recorded: true}, nil, 202, `{"id":"7-1","seq":7,"recorded":true,"held":false,"took_ms":0}`},
		{"nothing recorded", "none", invalidation.Receipt{}, nil, 503, `{"recorded":false,"held":false,"error":"the purge is not recorded: repeat it"}`},
		{"applied here", "local", invalidation.Receipt{ID: "x"}, nil, 202, `{"id":"x","seq":0,"recorded":false,"held":false,"took_ms":0}`},
		{"not applied here", "local", invalidation.Receipt{}, lost, 503, `{"recorded":false,"held":false,"error":"the purge is not recorded, repeat it: valkey: connection refused"}`},
	} {
		l := newListener()
		l.receipt, l.err = c.receipt, c.err
		l.start(t)
		res, body := l.ask(t, "DELETE /keys/a?soft=1&wait="+c.wait, "")
		if res.StatusCode != c.status || strings.TrimSpace(body) != c.body {
			t.Errorf("%s: %d %s, want %d %s", c.name, res.StatusCode, body, c.status, c.body)
		}
		if got := res.Header.Get("Retry-After") != ""; got != (c.status == 503) {
			t.Errorf("%s: Retry-After %v", c.name, got)
		}
		if p := l.last(t); !p.Soft || wordOf(p.Wait) != c.wait || p.Kind != "key" {
			t.Errorf("%s: purge %+v", c.name, p)
		}
		for _, word := range []string{"msg=purge", "who=127.0.0.1:", "members=[key:a]", "took_ms=", fmt.Sprint("status=", c.status)} {
			if !strings.Contains(l.log.String(), word) {
				t.Errorf("%s: audit %q lacks %q", c.name, l.log, word)
			}
		}
	}
}

func TestPurgeURL(t *testing.T) {
	l := newListener().start(t)
	for _, c := range []struct {
		request string
		want    []policy.Member
	}{
		{"PURGE /products?page=2 HTTP/1.1\r\nHost: Shop.example", policy.URLMembers("shop.example", "/products", "page=2", true)},
		{"PURGE /products HTTP/1.1\r\nHost: shop.example", policy.PathMembers("shop.example", "/products")},
		{"PURGE /products? HTTP/1.1\r\nHost: shop.example", policy.URLMembers("shop.example", "/products", "", true)},
		{"PURGE http://shop.example/a//b HTTP/1.1\r\nHost: shop.example", append(policy.PathMembers("shop.example", "/a//b"), policy.PathMembers("shop.example", "/a/b")...)},
		{"PURGE /a/./b HTTP/1.1\r\nHost: shop.example", append(policy.PathMembers("shop.example", "/a/./b"), policy.PathMembers("shop.example", "/a/b")...)},
		{"PURGE /healthz HTTP/1.1\r\nHost: HOST", policy.PathMembers("", "/healthz")},
		{"PURGE /keys/a%2Fb HTTP/1.1\r\nHost: shop.example:8080", policy.PathMembers("shop.example:8080", "/keys/a%2Fb")},
	} {
		res, body := l.raw(t, "tcp", c.request+"\r\nConnection: close\r\n\r\n")
		if res.StatusCode != 200 {
			t.Errorf("%s: %d %s", c.request, res.StatusCode, body)
			continue
		}
		if p := l.last(t); fmt.Sprint(p.Members) != fmt.Sprint(c.want) || p.Kind != "url" {
			t.Errorf("%s: purged %q, want %q", c.request, p.Members, c.want)
		}
	}
}

func TestPurgeBody(t *testing.T) {
	many := `["x"` + strings.Repeat(`,"x"`, maxMembers) + `]`
	l := newListener().start(t)
	for _, c := range []struct {
		body   string
		status int
		want   string // members, kind and wait; or a word of the error
	}{
		{`{"keys":["a"]}`, 200, `["key:a"] key all false`},
		{`{"keys":[],"tags":["a","b"],"urls":[],"all":false,"confirm":false,"soft":true}`, 200, `["tag:a" "tag:b"] tag all true`},
		{`{"routes":["stock"],"wait":"none"}`, 202, `["route:stock"] route none false`},
		{`{"prefixes":["/products/"]}`, 200, fmt.Sprintf("%q prefix all false", policy.PrefixMembers("", "/products"))},
		{`{"urls":["https://Shop.example/p"]}`, 200, fmt.Sprintf("%q url all false", policy.PathMembers("shop.example", "/p"))},
		{`{"urls":["/p?a=1"]}`, 200, fmt.Sprintf("%q url all false", policy.URLMembers("", "/p", "a=1", true))},
		{`{"keys":["a"],"tags":["b"]}`, 200, `["key:a" "tag:b"] mixed all false`},
		{`{"all":true,"confirm":true}`, 200, `["all"] all all false`},

		{`{"all":true}`, 400, "confirm"},
		{`{}`, 400, "names nothing"},
		{`{"confirm":true}`, 400, "names nothing"},
		{`{"keys":[]}`, 400, "names nothing"},
		{``, 400, "not a JSON object"},
		{`[]`, 400, "not a JSON object"},
		{`{"keys":["a"]`, 400, "unexpected EOF"},
		{`{"keys":["a"]}{}`, 400, "follows"},
		{`{"keys":["a"]} x`, 400, "follows"},
		{`{"key":["a"]}`, 400, "unknown field"},
		{`{"Keys":["a"]}`, 400, "unknown field"},
		{`{"keys":["a"],"keys":["b"]}`, 400, "twice"},
		{`{"keys":"a"}`, 400, "write a list of texts"},
		{`{"keys":null,"tags":["a"]}`, 400, "null"},
		{`{"keys":[null]}`, 400, "empty string"},
		{`{"keys":["a",""]}`, 400, "empty string"},
		{`{"tags":["a\ud800"]}`, 400, "not Unicode"},
		{"{\"tags\":[\"\xff\"]}", 400, "UTF-8"},
		{`{"keys":["a"],"wait":"some"}`, 400, "all, none or local"},
		{`{"keys":["a"],"wait":""}`, 400, "all, none or local"},
		{`{"routes":["nope"]}`, 400, "product, stock"},
		{`{"urls":["shop.example/p"]}`, 400, "http://"},
		{`{"urls":["ftp://shop.example/p"]}`, 400, "http://"},
		{`{"urls":["http:///p"]}`, 400, "no host"},
		{`{"urls":["http://u:p@shop.example/p"]}`, 400, "user information"},
		{`{"urls":["/p#x"]}`, 400, "percent-encode"},
		{`{"urls":["/a b"]}`, 400, "percent-encode"},
		{`{"prefixes":["/p?x"]}`, 400, "query"},
		{`{"keys":` + many + `}`, 400, "10001"},
		{`{"keys":["` + strings.Repeat("x", maxBody) + `"]}`, 413, "1048576"},
	} {
		l.purges = nil
		l.receipt.Held = c.status != 202
		res, body := l.ask(t, "POST /purge", c.body)
		name := shorten(c.body)
		if res.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d", name, res.StatusCode, body, c.status)
			continue
		}
		if c.status >= 400 {
			if problem := problemText(t, body); !strings.Contains(problem, c.want) || len(l.purges) > 0 {
				t.Errorf("%s: %q lacks %q, or something was purged: %v", name, problem, c.want, l.purges)
			}
			continue
		}
		p := l.last(t)
		if got := fmt.Sprintf("%q %s %s %v", p.Members, p.Kind, wordOf(p.Wait), p.Soft); got != c.want {
			t.Errorf("%s: purged %s, want %s", name, got, c.want)
		}
	}
}

func problemText(t *testing.T, body string) string {
	t.Helper()
	var p struct{ Error string }
	if err := json.Unmarshal([]byte(body), &p); err != nil || p.Error == "" {
		t.Errorf("no error in %q", body)
	}
	return p.Error
}

func TestOtherCalls(t *testing.T) {
	for _, c := range []struct {
		line, body string
		status     int
		want       string // in the answer, and for what changes something also in what was told
	}{
		{"GET /healthz", "", 200, `{"status":"ok","build":"v1"}`},
		{"GET /readyz", "", 200, `{"status":"ready"}`},
		{"HEAD /readyz", "", 200, ""},
		{"GET /metrics", "", 200, ""},
		{"GET /config", "", 200, `{"listen":"127.0.0.1:8080"}`},
		{"GET /explain?url=/a%3Fb=c&header=Accept:%20x&header=Cookie:a=b", "", 200, `{"route":"product"}`},
		{"GET /explain?method=PUT&url=http://h/", "", 200, `{"route":"product"}`},
		{"GET /explain", "", 400, "url is missing"},
		{"GET /explain?url=a", "", 400, "http://"},
		{"GET /explain?url=/bad", "", 400, "no such host"},
		{"GET /explain?url=/&page=2", "", 400, "percent-encode"},
		{"GET /explain?url=/&url=/b", "", 400, "once"},
		{"GET /explain?url=/&method=G%20T", "", 400, "not a method"},
		{"GET /explain?url=/&header=x", "", 400, "Name: value"},
		{"GET /explain?url=/&header=x:%0Ay", "", 400, "Name: value"},
		{"POST /routes/stock/mode", `{"mode":"off","for":"1h"}`, 200, `{"route":"stock","mode":"off","for":"1h0m0s"}`},
		{"POST /routes/stock/mode", `{"mode":"on"}`, 200, `{"route":"stock","mode":"on"}`},
		{"POST /routes/st%6Fck/mode", `{"mode":"observe"}`, 200, `{"route":"stock","mode":"observe"}`},
		{"POST /routes/stock/mode", `{"mode":"on","share":"10%"}`, 200, `{"route":"stock","mode":"on","share":"10%"}`},
		{"POST /routes/stock/mode", `{"mode":"observe","share":"0.5%","for":"1h"}`, 200, `"share":"0.5%"`},
		{"POST /routes/stock/mode", `{"mode":"on","share":"10"}`, 400, "such as 10%"},
		{"POST /routes/stock/mode", `{"mode":"on","share":"0%"}`, 400, "mode off"},
		{"POST /routes/stock/mode", `{"mode":"on","share":"0.00001%"}`, 400, "from 0.0001%"},
		{"POST /routes/stock/mode", `{"mode":"on","share":"101%"}`, 400, "to 100%"},
		{"POST /routes/stock/mode", `{"mode":"on","share":"NaN%"}`, 400, "share is"},
		{"POST /routes/stock/mode", `{"mode":"off","share":"10%"}`, 400, "share goes with"},
		{"DELETE /routes/product/mode", "", 200, `{"route":"product","mode":"observe","share":"10%"}`},
		{"DELETE /routes/product/mode", `{"mode":"on"}`, 400, "no body"},
		{"DELETE /routes/nope/mode", "", 404, "product, stock"},
		{"GET /routes", "", 200, `{"routes":[{"route":"product","mode":"observe","share":"10%"},{"route":"stock","mode":"off","share":"100%",` +
			`"configured":{"mode":"on","share":"100%"},"override":{"by":"oncall","since":"2030-01-02T02:04:05Z","until":"2030-01-02T03:04:05Z"}}]}`},
		{"POST /routes", "", 405, "GET"},
		{"POST /routes/nope/mode", `{"mode":"on"}`, 404, "product, stock"},
		{"POST /routes//mode", `{"mode":"on"}`, 400, "name is expected"},
		{"POST /routes/stock/mode", `{"mode":"paused"}`, 400, "on, observe or off"},
		{"POST /routes/stock/mode", `{"mode":"off","for":"-1h"}`, 400, "positive"},
		{"POST /routes/stock/mode", `{"mode":"off","until":"1h"}`, 400, "unknown field"},
		{"GET /routes/stock/mode", "", 405, "POST"},
		{"GET /keys/a", "", 405, "DELETE"},
		{"DELETE /purge", "", 405, "POST"},
		{"POST /healthz", "", 405, "GET, HEAD"},
		{"OPTIONS /purge", "", 405, "POST"},
		{"PURGE *", "", 400, "begins with"},
		{"DELETE /keys/", "", 400, "name is expected"},
		{"DELETE /keys/a?soft=maybe", "", 400, "1 or 0"},
		{"DELETE /keys/a?force=1", "", 400, "%3F"},
		{"DELETE /keys/a?soft=1&soft=0", "", 400, "once"},
		{"DELETE /keys", "", 404, "no such call"},
		{"POST /reload", "", 200, `{"changed":["routes[stock].ttl changed"],"recent":["log.level changed"],"restart":["listen"],"warnings":[],"generation":2,"since":"2026-11-26T21:04:05Z"}`},
		{"GET /reload", "", 405, "POST"},
		{"GET /debug/pprof/", "", 200, "goroutine"},
		{"GET /debug/pprof/goroutine?debug=1", "", 200, "goroutine profile"},
		{"GET /debug/pprof/cmdline", "", 200, ""},
		{"GET /", "", 404, "no such call"},
	} {
		l := newListener().start(t)
		res, body := l.ask(t, c.line, c.body)
		if res.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.line, res.StatusCode, body, c.status, c.want)
		}
		if got := res.Header.Get("Allow"); (c.status == 405) != (got != "") {
			t.Errorf("%s: Allow %q", c.line, got)
		}
		if len(l.purges) > 0 || c.status >= 400 && len(l.modes) > 0 {
			t.Errorf("%s: changed something: %v %v", c.line, l.purges, l.modes)
		}
		if res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: may be cached", c.line)
		}
	}
}

func TestModeAndExplainHandOver(t *testing.T) {
	l := newListener().start(t)
	l.ask(t, "POST /routes/stock/mode", `{"mode":"observe","for":"90m"}`)
	if got := fmt.Sprint(l.modes); got != "[stock observe 1 1h30m0s false]" {
		t.Errorf("modes %s", got)
	}
	if log := l.log.String(); !strings.Contains(log, "set mode") || !strings.Contains(log, "who=127.0.0.1:") {
		t.Errorf("audit %s", log)
	}
	l.ask(t, "GET /explain?method=HEAD&url=/a%3Fb=c%26d&header=accept:%20x&header=Accept:y", "")
	l.ask(t, "GET /explain?url=/a", "") // as curl asks
	if got := fmt.Sprint(l.explain); got != "[HEAD /a?b=c&d map[Accept:[x y]] [] GET /a map[Accept:[*/*]] [Accept: */*]]" {
		t.Errorf("explain %s", got)
	}
}

func TestFailingFuncs(t *testing.T) {
	l := newListener()
	l.err = errors.New("draining")
	l.start(t)
	for line, body := range map[string]string{"GET /readyz": "", "POST /routes/stock/mode": `{"mode":"off"}`} {
		res, answer := l.ask(t, line, body)
		if res.StatusCode != 503 || !strings.Contains(answer, "draining") {
			t.Errorf("%s: %d %s", line, res.StatusCode, answer)
		}
	}
	if res, _ := l.ask(t, "GET /healthz", ""); res.StatusCode != 200 {
		t.Errorf("healthz: %d: an instance that drains is alive", res.StatusCode)
	}
	if !strings.Contains(l.log.String(), "level=ERROR msg=\"set mode\"") {
		t.Errorf("audit %s", l.log)
	}
}

// A mode that does not hold everywhere is never answered with 200, and the answer says how far it has come.
func TestModeThatDoesNotHold(t *testing.T) {
	for _, c := range []struct {
		receipt invalidation.Receipt
		err     error
		want    string
	}{
		{invalidation.Receipt{}, errors.New("log is dead"), `"mode":"off","recorded":false,"held":false,"error":"the mode is in force on this instance only;`},
		{invalidation.Receipt{Recorded: true}, errors.New("not confirmed"), `"recorded":true,"held":false,"error":"the mode is in force on this instance, and recorded for all;`},
		{invalidation.Receipt{Recorded: true}, nil, `"recorded":true,"held":false`},
		{invalidation.Receipt{Recorded: true, Held: true}, errors.New("odd"), `"held":false`},
	} {
		l := newListener()
		l.Options.SetMode = func(context.Context, ModeOrder) (invalidation.Receipt, error) { return c.receipt, c.err }
		l.start(t)
		res, answer := l.ask(t, "POST /routes/stock/mode", `{"mode":"off"}`)
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(answer, c.want) {
			t.Errorf("%+v, %v: %d %s", c.receipt, c.err, res.StatusCode, answer)
		}
		if c.err != nil && (!strings.Contains(answer, c.err.Error()) || !strings.Contains(l.log.String(), c.err.Error())) {
			t.Errorf("%v is in neither %s nor %s", c.err, answer, l.log)
		}
	}
}

// A purge that was accepted goes on when the client leaves.
func TestPurgeOutlivesClient(t *testing.T) {
	l := newListener()
	l.Options.Purge = func(ctx context.Context, _ Purge) (invalidation.Receipt, error) { return held(), ctx.Err() }
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), http.LocalAddrContextKey, loopback))
	cancel()
	w := httptest.NewRecorder()
	New(l.Options).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "DELETE", "http://localhost/keys/a", nil))
	if w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestUnixSocket(t *testing.T) {
	l := newListener().serve(t, "unix", filepath.Join(t.TempDir(), "admin.sock"))
	res, body := l.raw(t, "unix", "DELETE /keys/a//b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if res.StatusCode != 200 || l.last(t).Members[0] != "ka//b" || l.who() != "unix socket" {
		t.Errorf("%d %s %v", res.StatusCode, body, l.purges)
	}
}
