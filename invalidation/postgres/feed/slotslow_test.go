package feed

import (
	"context"
	"syscall"
	"testing"
	"time"

	"cacheproxy/invalidation/postgres/pgoutput"
)

// TestSlotStalled has the server stand still during a look: that is told of while it lasts, and a change right after it is seen at once, and not
// after as long again.
func TestSlotStalled(t *testing.T) {
	url := decoded(t)
	conn := dial(t, url)
	c := decode(t, url, nil)
	c.clear()
	var pid int
	if err := conn.QueryRow(context.Background(), "select pid from pg_stat_activity where backend_type = 'client backend' order by backend_start desc limit 1").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	goOn := func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	defer goOn()
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return c.State().Failed[lookFailed.String()] > 0 || time.Since(began) > 2*lookTimeout })
	stalled := time.Since(began)
	goOn()
	began = time.Now()
	do(t, conn, "insert into product values (1, 7)")
	c.purges("tag:category:7", "tag:product:1")
	if took := time.Since(began); took > stalled/2 {
		t.Errorf("after a look of %v, a change is purged after %v", stalled, took)
	}
	if s := c.State(); s.Failed[lookFailed.String()] != 1 || !s.Up {
		t.Errorf("a look that took %v leaves state %+v", stalled, s)
	}
}

// TestSlotRest bounds the pause after a look by what the server can have worked.
func TestSlotRest(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		took time.Duration
		log  int
		want time.Duration
	}{
		{0, 100 * mib, 0},
		{100 * time.Millisecond, 100 * mib, 100 * time.Millisecond},
		{10 * time.Second, 100 * mib, 10 * time.Second},
		{time.Minute, 4 * mib, time.Second}, // stood still
		{time.Minute, 0, 0},
		{-time.Second, 4 * mib, 0}, // the server's clock was set back
	} {
		p := &slotPage{took: test.took}
		p.restart, p.current = 1<<32, 1<<32
		p.current += pgoutput.LSN(test.log)
		if got := p.worked(); got != test.want {
			t.Errorf("a look of %v into %d bytes of log counts for %v, want %v", test.took, test.log, got, test.want)
		}
	}
}
