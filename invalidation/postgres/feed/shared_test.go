package feed

import (
	"context"
	"fmt"
	"testing"
	"time"

	"cacheproxy/test/servers"
)

func alone(o *Options) { o.Alone = true }

// shared waits until both know of each other, and are blind.
func shared(t *testing.T, all ...*consumer) {
	t.Helper()
	for _, c := range all {
		until(t, func() bool {
			s := c.State()
			return s.Shared && s.Failed[taken.String()] > 0 && c.Blind(time.Now(), time.Hour)
		})
	}
}

// TestShared has two consume that know nothing of each other: both notice, whether anything changes or not, are blind until one of them has
// ended, and have confirmed what they may have missed.
func TestShared(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	for _, pooled := range []bool{false, true} {
		t.Run(fmt.Sprintf("pooled=%v", pooled), func(t *testing.T) {
			through := url
			if pooled {
				through = servers.Pgbouncer(t, url, "transaction")
			}
			first := consume(t, through, alone)
			first.clear()
			for range 2 * pageRows / 100 { // own changes are no one else's
				do(t, conn, "insert into product values (1, 7); delete from product")
			}
			until(t, func() bool { return rows(t, conn) == 0 })
			first.clear()
			if s := first.State(); s.Shared {
				t.Errorf("alone, and it is %+v", s)
			}
			// Who ends cancels what it has under way, by which pgbouncer before 1.21 can end itself (github.com/pgbouncer/pgbouncer/issues/822): so
			// the others go past it.
			second := consume(t, url, alone)
			shared(t, first, second)
			do(t, conn, "insert into product values (1, 7); delete from product")
			until(t, func() bool { return rows(t, conn) == 0 })
			second.stop()
			first.log.taken()
			until(t, func() bool { return !first.State().Shared })
			if got := first.log.taken(); len(got) == 0 || got[0] != "confirm "+wholeProduct {
				t.Errorf("it sees again after %q", got)
			}
			first.stop()
			third := consume(t, url, alone) // which finds nothing of those before
			third.clear()
			do(t, conn, "insert into product values (1, 7); delete from product")
			third.purges("tag:category:7", "tag:product:1")
			for began := time.Now(); time.Since(began) < 2*beatEvery; {
				third.clear()
			}
			if s := third.State(); s.Shared {
				t.Errorf("alone, and it is %+v", s)
			}
		})
	}
}

// TestSharedMark bounds by how much the mark is ahead, and holds that it is found there by others.
func TestSharedMark(t *testing.T) {
	url := database(t)
	conn := dial(t, url)
	c := consume(t, url, alone)
	c.clear()
	do(t, conn, "select setval('cacheproxy.consumed', 5000)") // somebody else
	until(t, func() bool { return c.State().Shared })
	until(t, func() bool {
		var consumed int
		if err := conn.QueryRow(t.Context(), "select last_value from cacheproxy.consumed").Scan(&consumed); err != nil {
			t.Fatal(err)
		}
		return consumed < mostAhead
	})
}

// TestSharedSlot has two consume from one slot that know nothing of each other.
func TestSharedSlot(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	both := func(o *Options) { bySlot(o); alone(o) }
	first := decode(t, url, both)
	for range 10 {
		first.purgesOf(conn, "insert into product values (1, 7); delete from product", "tag:category:7", "tag:product:1")
	}
	if s := first.State(); s.Shared {
		t.Errorf("alone, and it is %+v", s)
	}
	second := consume(t, url, both)
	until(t, func() bool { return second.State().Up })
	until(t, func() bool {
		do(t, conn, "insert into product values (1, 7); delete from product")
		return first.State().Shared && second.State().Shared
	})
	shared(t, first, second)
	second.stop()
	first.log.taken()
	until(t, func() bool { return !first.State().Shared })
	if got := first.log.taken(); len(got) == 0 || got[0] != "confirm "+wholeProduct {
		t.Errorf("it sees again after %q", got)
	}
	first.purgesOf(conn, "insert into product values (1, 7)", "tag:category:7", "tag:product:1")
}

// TestSharedSlotGap has one instance alone find that its slot is not where it was left: that is a gap, whose copies are confirmed once, and no other
// instance has taken anything.
func TestSharedSlotGap(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	c := decode(t, url, func(o *Options) { alone(o) })
	for _, test := range []struct {
		name string
		take func()
	}{
		{"slot made by an install", func() { dropped(t, conn); publish(t, conn, product()) }},
		{"slot made by hand", func() { dropped(t, conn); do(t, conn, makeSlot) }},
		{"slot advanced by somebody", func() {
			do(t, conn, "create table if not exists other(t text); insert into other values ('x')")
			until(t, func() bool {
				_, err := conn.Exec(context.Background(), "select pg_replication_slot_advance('cacheproxy', pg_current_wal_lsn())")
				return err == nil
			})
		}},
	} {
		c.clear()
		c.log.taken()
		gaps := c.State().Failed[unknownGap.String()]
		test.take()
		until(t, func() bool { return c.State().Failed[unknownGap.String()] > gaps })
		c.purges("confirm " + wholeProduct)
		sees(t, c)
		c.purgesOf(conn, "insert into product values (1, 7); delete from product", "tag:category:7", "tag:product:1")
		if s := c.State(); s.Shared || s.Failed[taken.String()] > 0 {
			t.Errorf("%s: it takes itself for another: %+v", test.name, s)
		}
		if c.clear(); len(c.log.taken()) > 0 {
			t.Errorf("%s: copies are confirmed twice", test.name)
		}
	}
	// Another one that takes changes after a gap is noticed all the same.
	second := consume(t, url, func(o *Options) { bySlot(o); alone(o) })
	until(t, func() bool { return second.State().Up })
	until(t, func() bool {
		do(t, conn, "insert into product values (1, 7); delete from product")
		return c.State().Shared && second.State().Shared
	})
	shared(t, c, second)
}
