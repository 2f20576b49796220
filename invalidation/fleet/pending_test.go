package fleet

import (
	"slices"
	"testing"
	"time"

	"cacheproxy/invalidation"
)

// The entry that stands for more entries than there is room for is owed and due at once, whatever the last of them was: a repetition that
// comes due later owes nothing. Notices stay, since no invalidation says what they say.
func TestTooManyPendingEntries(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	notice := invalidation.Record{Operation: invalidation.Announce, Notice: invalidation.Notice{Subject: "route/a", Body: []byte("off")}}
	purge := invalidation.Record{Operation: invalidation.Invalidate, IDs: []invalidation.ID{7}}
	for name, last := range map[string]invalidation.Record{"a repetition": purge, "a notice": notice} {
		t.Run(name, func(t *testing.T) {
			p := pendingEntries{byKey: map[uint64]*pendingEntry{}}
			p.add(1, notice, now, true)
			for key := uint64(2); key <= maxPending; key++ {
				p.add(key, purge, now, true)
			}
			p.add(maxPending+1, last, now.Add(time.Hour), false)
			if !p.owes() {
				t.Error("nothing is owed")
			}
			due := p.take(nil, 10, now)
			all := slices.ContainsFunc(due, func(r invalidation.Record) bool {
				return r.Operation == invalidation.InvalidateConfirm && slices.Contains(r.IDs, allID)
			})
			notices := 0
			for _, r := range due {
				if r.Operation == invalidation.Announce {
					notices++
				}
			}
			want := map[string]int{"a repetition": 1, "a notice": 2}[name]
			if !all || notices != want || len(due) != want+1 {
				t.Errorf("%d entries are due, %d of them notices, everything among them: %v; want %d notices and everything", len(due), notices, all, want)
			}
		})
	}
}
