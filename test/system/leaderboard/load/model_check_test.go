package load

import (
	"strings"
	"testing"
	"time"
)

// The model notices what is missing, what has expired, what was never submitted, and what stands in the wrong place.
func TestModelNotices(t *testing.T) {
	now := time.Now()
	m := newModel(10*time.Second, time.Second, 2)
	add := func(player string, score int64, before time.Duration) {
		s := m.send(player, score)
		s.sent = now.Add(-before)
		m.ended(s, true)
		s.acked = s.sent
	}
	add("alice", 5, 3*time.Second)
	add("bob", 7, 3*time.Second)
	add("carol", 9, 13*time.Second)
	add("dave", 99, 500*time.Millisecond) // need not be shown yet
	add("alice", 4, 2*time.Second)
	for _, c := range []struct {
		board []entry
		says  string
	}{
		{[]entry{{1, "bob", 7}, {2, "alice", 5}}, ""},
		{[]entry{{1, "dave", 99}, {2, "bob", 7}}, ""},
		{[]entry{{1, "bob", 7}}, "alice with 5 is missing"},
		{[]entry{{1, "alice", 5}}, "bob with 7 is missing"},
		{[]entry{{1, "bob", 7}, {2, "alice", 4}}, "alice with 5 is missing"},
		{[]entry{{1, "carol", 9}, {2, "bob", 7}}, "has expired"},
		{[]entry{{1, "bob", 7}, {2, "alice", 6}}, "never submitted"},
		{[]entry{{1, "alice", 5}, {2, "bob", 7}}, "its order"},
		{[]entry{{1, "bob", 7}, {2, "bob", 7}}, "its player"},
		{[]entry{{2, "bob", 7}, {1, "alice", 5}}, "its rank"},
	} {
		err := m.check(c.board, now, now)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%v: %v, want %q", c.board, err, c.says)
		}
	}
}
