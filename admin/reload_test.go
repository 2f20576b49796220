package admin

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestReload(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		token  Token
		status int
		want   string
	}{
		{"done", nil, Token{Name: "ci", Secret: "0123456789abcdef", Allow: ScopeMode}, 200, `{"changed":["routes[stock].ttl changed"],"recent":["log.level changed"],"restart":["listen"],"warnings":[],"generation":2,"since":"2026-11-26T21:04:05Z"}`},
		{"bad file", &InvalidConfigError{[]string{"a.yaml:1: x", "a.yaml:2: y"}}, Token{Name: "ci", Secret: "0123456789abcdef", Allow: ScopeAll}, 422,
			`{"error":"the configuration is not valid; the one before stays in force","problems":["a.yaml:1: x","a.yaml:2: y"]}`},
		{"store down", errors.New("store is down"), Token{Name: "ci", Secret: "0123456789abcdef", Allow: ScopeMode}, 503, "store is down"},
		{"not allowed", nil, Token{Name: "ci", Secret: "0123456789abcdef", Allow: ScopePurge | ScopeRead}, 403, "mode"},
	} {
		l := newListener(c.token)
		called := false
		reload := l.Reload
		l.Reload = func(ctx context.Context) (Reloaded, error) {
			called = true
			if _, ok := ctx.Deadline(); !ok {
				return Reloaded{}, errors.New("no deadline")
			}
			done, _ := reload(ctx)
			return done, c.err
		}
		l.start(t)
		res, body := l.ask(t, "POST /reload", "", "Authorization: Bearer 0123456789abcdef")
		if res.StatusCode != c.status || !strings.Contains(body, c.want) || called != (c.status != 403) {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
		}
		if log := l.log.String(); c.status != 403 && !strings.Contains(log, "who=ci") {
			t.Errorf("%s: audit %s", c.name, log)
		}
	}
}
