package feed

import (
	"testing"
	"time"

	"cacheproxy/test/servers"
)

// TestPooler consumes through a pooler that gives each session, or each transaction, whatever connection is free, while others use it.
func TestPooler(t *testing.T) {
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode, func(t *testing.T) {
			url := database(t)
			conn := dial(t, url)
			through := servers.Pgbouncer(t, url, mode)
			c := consume(t, through, nil)
			c.clear()
			if mode == "transaction" { // two more share its connections
				consume(t, through, func(o *Options) { o.Preferred = func() bool { return false } })
				consume(t, through, func(o *Options) { o.Preferred = func() bool { return false } })
			}
			for range 50 {
				do(t, conn, "insert into product values (1, 7)")
				c.purges("tag:category:7", "tag:product:1")
				do(t, conn, "delete from product")
				c.purges("tag:category:7", "tag:product:1")
			}
			overflow(t, conn)
			do(t, conn, "insert into product values (2, 6)")
			until(t, func() bool { return rows(t, conn) == 0 && !owes(t, conn) })
			c.log.taken()
			// The server's side of the pooler's connections goes, and in one mode the feed's own with it.
			do(t, conn, "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'")
			until(t, func() bool {
				return mode == "transaction" || c.State().Failed[connectionFailed.String()]+c.State().Failed[lookFailed.String()] > 0
			})
			do(t, conn, "insert into product values (3, 5)")
			until(t, func() bool { return rows(t, conn) == 0 })
			if c.Blind(time.Now(), 20*time.Second) {
				t.Errorf("state %+v", c.State())
			}
		})
	}
}
