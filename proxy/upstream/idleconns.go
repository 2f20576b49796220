package upstream

import (
	"time"

	"cacheproxy/lockorder"
)

// idleConns holds connections that wait for their next request, for idleTimeout at most. idleConns has no goroutine:
// the request that takes a connection checks its state, and a timer closes connections that no request takes. A nil
// idleConns keeps none.
type idleConns struct {
	mu    lockorder.Mutex[lockorder.IdleConns] // guards the fields below, and since of each connection in conns
	conns map[string][]*directConn             // by address, in the order of becoming idle; take takes the last
	timer *time.Timer                          // set while conns may hold connections; nil: not running
}

func newIdleConns() *idleConns { return &idleConns{conns: make(map[string][]*directConn)} }

// take removes and returns an idle connection to an address; nil: there is none.
func (i *idleConns) take(to string) *directConn {
	if i == nil {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	conns := i.conns[to]
	if len(conns) == 0 {
		return nil
	}
	last := len(conns) - 1
	c := conns[last]
	conns[last] = nil
	i.conns[to] = conns[:last]
	return c
}

// put keeps a connection.
func (i *idleConns) put(c *directConn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c.since = time.Now()
	i.conns[c.to] = append(i.conns[c.to], c)
	if i.timer == nil {
		i.timer = time.AfterFunc(idleTimeout, i.expire)
	}
}

// expire closes the connections that were idle for too long.
func (i *idleConns) expire() {
	i.mu.Lock()
	now := time.Now()
	var old []*directConn
	next := time.Duration(-1) // until the next connection has been idle for too long
	for to, conns := range i.conns {
		n := 0
		for n < len(conns) && now.Sub(conns[n].since) >= idleTimeout {
			n++
		}
		old = append(old, conns[:n]...)
		rest := append(conns[:0:0], conns[n:]...)
		if len(rest) == 0 {
			delete(i.conns, to)
			continue
		}
		i.conns[to] = rest
		if left := idleTimeout - now.Sub(rest[0].since); next < 0 || left < next {
			next = left
		}
	}
	if i.timer = nil; next >= 0 {
		i.timer = time.AfterFunc(next, i.expire)
	}
	i.mu.Unlock()
	closeAll(old)
}

// close closes the idle connections.
func (i *idleConns) close() {
	if i == nil {
		return
	}
	i.mu.Lock()
	var all []*directConn
	for _, conns := range i.conns {
		all = append(all, conns...)
	}
	clear(i.conns)
	if i.timer != nil {
		i.timer.Stop()
		i.timer = nil
	}
	i.mu.Unlock()
	closeAll(all)
}

func closeAll(conns []*directConn) {
	for _, c := range conns {
		c.Close() // the error cannot matter any more
	}
}
