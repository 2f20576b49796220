package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestWrites(t *testing.T) {
	refusal, broken := errors.New("it is not a dead letter"), errors.New("server gone")
	var told []string
	l := newListener()
	l.Writes = &Writes{
		List: func(_ context.Context, dead bool, route string, most int) ([]QueuedWrite, error) {
			told = append(told, fmt.Sprint("list ", dead, route, most))
			return []QueuedWrite{{ID: "A", State: "dead", Accepted: time.Unix(0, 0).UTC()}}, map[string]error{"broken": broken}[route]
		},
		Retry: func(_ context.Context, id string, forced bool) error {
			told = append(told, fmt.Sprint("retry ", id, forced))
			return map[string]error{"B": refusal, "C": broken}[id]
		},
		Drop: func(_ context.Context, id string, forced bool) error {
			told = append(told, fmt.Sprint("drop ", id, forced))
			return map[string]error{"B": refusal, "C": broken}[id]
		},
		Refused: func(err error) bool { return errors.Is(err, refusal) },
	}
	l.start(t)
	for _, c := range []struct {
		call string
		code int
		told string
	}{
		{"GET /writes", 200, "list true100"},
		{"GET /writes?state=waiting&route=stock&limit=5", 200, "list falsestock5"},
		{"GET /writes?state=dead&route=broken", 503, "list truebroken100"},
		{"GET /writes?state=all", 400, ""},
		{"GET /writes?limit=0", 400, ""},
		{"GET /writes?limit=x", 400, ""},
		{"GET /writes?what=x", 400, ""},
		{"POST /writes", 405, ""},
		{"POST /writes/A/retry", 200, "retry Afalse"},
		{"POST /writes/A/retry?force=true", 200, "retry Atrue"},
		{"POST /writes/A/retry?force=1", 400, ""},
		{"POST /writes/B/retry", 409, "retry Bfalse"},
		{"POST /writes/C/retry", 503, "retry Cfalse"},
		{"POST /writes/A", 405, ""},
		{"DELETE /writes/A", 200, "drop Afalse"},
		{"DELETE /writes/A?force=true", 200, "drop Atrue"},
		{"DELETE /writes/A?force=1", 400, ""},
		{"DELETE /writes/B", 409, "drop Bfalse"},
		{"DELETE /writes/A/retry", 405, ""},
	} {
		told = nil
		res, body := l.ask(t, c.call, "")
		if res.StatusCode != c.code || strings.Join(told, ";") != c.told {
			t.Errorf("%s: %d %s %q, want %d %q", c.call, res.StatusCode, strings.TrimSpace(body), told, c.code, c.told)
		}
	}
}

func TestWritesWithoutQueue(t *testing.T) {
	l := newListener().start(t)
	if res, body := l.ask(t, "GET /writes", ""); res.StatusCode != 200 || strings.TrimSpace(body) != `{"writes":[]}` {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, _ := l.ask(t, "DELETE /writes/A", ""); res.StatusCode != 404 {
		t.Errorf("drop: %d", res.StatusCode)
	}
}
