package admin

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// Every call that needs a token leaves one line: who, from where, what, how it ended, how long it took.
func TestAudit(t *testing.T) {
	tokens := []Token{{Name: "sre", Secret: "right", Allow: ScopeAll}, {Name: "eye", Secret: "read", Allow: ScopeRead}}
	for _, c := range []struct {
		name, call, secret, body string
		err                      error
		want                     []string // empty: no line
	}{
		{"purge", "DELETE /keys/a?soft=1", "right", "", nil, []string{`level=INFO msg=purge who=sre from=192.0.2.1:1234 method=DELETE target=/keys/a status=200`, "kind=key", "members=[key:a]", "soft=true", "took_ms="}},
		{"purge that fails", "DELETE /keys/a", "right", "", errors.New("lost"), []string{"level=ERROR msg=purge who=sre", "status=503", "error=lost"}},
		{"purge that is refused", "POST /purge", "right", `{"all":true}`, nil, []string{`level=WARN msg="refuse admin call" who=sre`, "target=/purge status=400", "confirm"}},
		{"purge of a URL", "POST /purge", "right", `{"urls":["http://a.example/p?token=hush&hush&b="]}`, nil, []string{"msg=purge who=sre", `a.example/p?token=…&…&b=…`}},
		{"purge of a URL that is none", "POST /purge", "right", `{"urls":["/p?token=a hush"]}`, nil, []string{"status=400", `/p?token=…`, "holds a space"}},
		{"purge of a URL in a header", "PURGE /p?token=hush", "right", "", nil, []string{"msg=purge who=sre", "target=/p", "/p?token=…"}},
		{"mode", "POST /routes/stock/mode", "right", `{"mode":"on","share":"10%","for":"1h"}`, nil, []string{`level=INFO msg="set mode" who=sre`, "status=200", "route=stock mode=on share=10% for=1h0m0s"}},
		{"mode, back", "DELETE /routes/stock/mode", "right", "", nil, []string{`msg="set mode" who=sre`, "mode=configured"}},
		{"explain", "GET /explain?url=/&header=Cookie:session=hush", "read", "", nil, []string{`level=INFO msg="admin call" who=eye`, "method=GET target=/explain status=200"}},
		{"config", "GET /config", "read", "", nil, []string{`msg="admin call" who=eye`, "target=/config"}},
		{"profile", "GET /debug/pprof/cmdline", "read", "", nil, []string{`msg="admin call" who=eye`, "target=/debug/pprof/cmdline status=200"}},
		{"not allowed", "DELETE /keys/a", "read", "", nil, []string{`level=WARN msg="refuse admin call" who=eye`, "status=403", "reason=scope"}},
		{"wrong token", "DELETE /keys/a", "wrong", "", nil, []string{`level=WARN msg="refuse admin call" who=""`, "from=192.0.2.1:1234", "status=401", "reason=unknown"}},
		{"no token", "GET /config", "", "", nil, []string{`level=WARN msg="refuse admin call" who=""`, "status=401", "reason=missing"}},
		{"health", "GET /healthz", "", "", nil, nil},
		{"metrics", "GET /metrics", "", "", nil, nil},
	} {
		l := newListener(tokens...)
		l.err = c.err
		method, target, _ := strings.Cut(c.call, " ")
		w := l.serveBody(method, target, c.body, c.secret)
		got := l.log.String()
		if lines := strings.Count(got, "\n"); lines != min(len(c.want), 1) {
			t.Errorf("%s: %d lines in %q", c.name, lines, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q lacks %q (answer %d %s)", c.name, got, want, w.Code, w.Body)
			}
		}
		for _, secret := range []string{"right", "hush", "wrong"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s: the log tells %q: %s", c.name, secret, got)
			}
		}
	}
	l := newListener(tokens...)
	l.Log = slog.New(slog.NewTextHandler(l.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if l.serveBody("GET", "/healthz", "", ""); !strings.Contains(l.log.String(), "level=DEBUG") {
		t.Errorf("health at level debug: %q", l.log)
	}
}

// Where the audit log has no room, a call that would leave a line is refused before anything is done, and leaves none; health and
// metrics leave none and answer.
func TestAuditIsFull(t *testing.T) {
	l := newListener()
	full := true
	l.AuditFull = func() bool { return full }
	l.start(t)
	for _, call := range []string{"DELETE /keys/a", "POST /reload", "POST /routes/product/mode", "GET /config", "PURGE /a"} {
		res, body := l.ask(t, call, "")
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "nothing was done") {
			t.Errorf("%s: %d %s", call, res.StatusCode, body)
		}
	}
	if len(l.purges) > 0 || len(l.modes) > 0 || l.log.Len() > 0 {
		t.Errorf("done: %v %v; written: %s", l.purges, l.modes, l.log)
	}
	for _, call := range []string{"GET /healthz", "GET /readyz", "GET /metrics"} {
		if res, body := l.ask(t, call, ""); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", call, res.StatusCode, body)
		}
	}
	full = false
	if res, _ := l.ask(t, "DELETE /keys/a", ""); res.StatusCode != 200 || len(l.purges) != 1 {
		t.Errorf("with room again: %d, %v", res.StatusCode, l.purges)
	}
}
