package fleet

import (
	"testing"

	"cacheproxy/invalidation"
)

// What an entry names for older versions makes nothing unusable here, and what it spares stays.
func TestNamesBesideTheNames(t *testing.T) {
	d := newDesk(t)
	stamp := func() *invalidation.Stamp {
		s := new(invalidation.Stamp)
		s.Set(d.f.ledger.Token())
		return s
	}
	id := func(ids ...int) (list []invalidation.ID) {
		for _, i := range ids {
			list = append(list, simKeyID(i))
		}
		return list
	}
	at := stamp()
	d.write(invalidation.Record{IDs: id(1), Older: id(2)})
	d.write(invalidation.Record{IDs: id(3), Spared: id(4)})
	d.beat()
	for _, c := range []struct {
		ids  []invalidation.ID
		want invalidation.Verdict
	}{
		{id(1), invalidation.Purged}, {id(2), invalidation.Valid}, {id(1, 2), invalidation.Purged},
		{id(3), invalidation.Purged}, {id(3, 4), invalidation.Valid}, {id(4), invalidation.Valid},
	} {
		s := new(invalidation.Stamp)
		s.Set(at.Token())
		if got := d.f.ledger.Check(s, c.ids); got != c.want {
			t.Errorf("a copy with %v is %v, want %v", c.ids, got, c.want)
		}
	}
}
