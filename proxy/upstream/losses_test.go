package upstream

import (
	"io"
	"strings"
	"testing"
	"time"
)

// Of requests that are sent only once, an upstream that closes its connections without a word loses two, and none after that, as it loses
// none without a proxy.
func TestWritesLeaveConnectionsThatAreLost(t *testing.T) {
	for _, c := range []struct{ method, body string }{{"POST", "order"}, {"DELETE", ""}, {"GET", "content"}} {
		m := newHasty(t)
		lost := 0
		for range 100 {
			var body io.Reader
			if c.body != "" {
				body = io.MultiReader(strings.NewReader(c.body))
			}
			if m.ask(t, c.method, "/", body) != nil {
				lost++
			}
		}
		if lost != tolerated || m.Retries() != 0 {
			t.Errorf("%s %s: %d of 100 requests were lost, with %d retries: want %d and none", c.method, c.body, lost, m.Retries(), tolerated)
		}
	}
}

// Losses count that are more than one in a hundred, for a time, and never more than some.
func TestLosses(t *testing.T) {
	now := time.Now()
	tell := func(l *losses, lost, held int) *losses {
		for range lost {
			l.lost(now)
		}
		for range held {
			l.held()
		}
		return l
	}
	for _, c := range []struct {
		name       string
		lost, held int
		after      time.Duration
		want       bool
	}{
		{"none", 0, 1000, 0, false},
		{"one by chance", 1, 0, 0, false},
		{"two at once", 2, 0, 0, true},
		{"two, and an answer", 2, 1, 0, false},
		{"more than answers make up for", 12, 790, 0, true},
		{"never more than answers make up for", 1000, 801, 0, false},
		{"almost forgotten", 2, 0, lossesCount - 1, true},
		{"forgotten", 2, 0, lossesCount, false},
	} {
		if got := tell(&losses{}, c.lost, c.held).frequent(now.Add(c.after)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
