package invalidation

import (
	"context"
	"testing"

	"cacheproxy/policy"
)

// A fence of which nothing came leaves copies as they were before it, unless something else has named its members.
func TestUndoneFence(t *testing.T) {
	member, other := policy.NewMember(policy.KindKey, "a"), policy.NewMember(policy.KindKey, "b")
	members := []policy.Member{member, policy.NewMember(policy.KindURL, "/a")}
	for name, c := range map[string]struct {
		while func(t *testing.T, l *Local, ledger *Ledger)
		want  Verdict
	}{
		"nothing else":      {func(*testing.T, *Local, *Ledger) {}, Valid},
		"others are purged": {func(_ *testing.T, l *Local, _ *Ledger) { invalidateNow(l, false, other) }, Valid},
		"purged":            {func(_ *testing.T, l *Local, _ *Ledger) { invalidateNow(l, false, member) }, Purged},
		"purged softly":     {func(_ *testing.T, l *Local, _ *Ledger) { invalidateNow(l, true, member) }, Purged},
		"marks were given up": {func(_ *testing.T, l *Local, ledger *Ledger) {
			invalidateNow(l, false, other)
			ledger.RaiseFloor(ledger.Token().Position())
		}, Purged},
		"another fence stands": {func(t *testing.T, l *Local, _ *Ledger) {
			if _, err := l.Begin(t.Context(), members[:1]); err != nil {
				t.Fatal(err)
			}
		}, Fenced},
		"another fence stood": {func(t *testing.T, l *Local, _ *Ledger) {
			f, err := l.Begin(t.Context(), members[:1])
			if err == nil {
				_, err = l.End(t.Context(), f, Order{Undone: true})
			}
			if err != nil {
				t.Fatal(err)
			}
		}, Purged},
	} {
		t.Run(name, func(t *testing.T) {
			ledger := NewLedger()
			l := NewLocal(ledger, "a")
			invalidateNow(l, false, members...)
			var stamp Stamp
			stamp.Set(ledger.Token())
			f, err := l.Begin(t.Context(), members)
			if err != nil {
				t.Fatal(err)
			}
			if got := ledger.Check(&stamp, f.IDs()); got != Fenced {
				t.Errorf("while it stands: %v", got)
			}
			c.while(t, l, ledger)
			if _, err := l.End(t.Context(), f, Order{Undone: true}); err != nil {
				t.Fatal(err)
			}
			if got := ledger.Check(&stamp, f.IDs()); got != c.want {
				t.Errorf("the copy from before is %v, want %v", got, c.want)
			}
			if _, err := l.End(t.Context(), f, Order{Undone: true}); err != nil {
				t.Fatal(err)
			}
			if got := ledger.Check(&stamp, f.IDs()); got == Valid {
				t.Error("a second end does not invalidate")
			}
		})
	}
}

func invalidateNow(l *Local, soft bool, members ...policy.Member) {
	_, _ = l.Invalidate(context.Background(), Order{Members: members, Soft: soft}) // it never fails
}
