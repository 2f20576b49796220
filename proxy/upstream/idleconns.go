package upstream

import (
	"time"

	"cacheproxy/lockorder"
)

// idleConns keeps connections that are idle, for at most idleTimeout. It has no goroutine that watches them: a request that takes a connection checks it
// (quiet), and a timer, which runs while there are any, closes those that are not taken. A nil idleConns keeps none.
type idleConns struct {
	mu    lockorder.Mutex[lockorder.IdleConns] // guards what is below, and since of what is in it
	conns map[string][]*directConn             // by address; the one that became idle last stands last, and is taken first
	timer *time.Timer                          // runs while there are any; nil: it does not
}

func newIdleConns() *idleConns { return &idleConns{conns: make(map[string][]*directConn)} }

// take gives a connection to an address; nil: there is none.
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

// expire closes what has been idle for too long.
func (i *idleConns) expire() {
	i.mu.Lock()
	now := time.Now()
	var old []*directConn
	next := time.Duration(-1) // until the next one has been idle for too long
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

// close closes those that are idle.
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
		c.Close() // its error cannot matter any more
	}
}
