package server

import (
	"cmp"
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"cacheproxy/lockorder"
)

// Connections is the set of the clients' connections of one data listener. The set bounds their number, and knows
// each connection to its end, upgraded connections included. The server that New makes watches the requests on them.
type Connections struct {
	limits  Limits      // does not change
	closing atomic.Bool // answers end their connection; Retire sets it for good, each request reads it

	reclaimed, refused, stalled, flooding, unintroduced, headerless atomic.Uint64 // see Counts

	// See Options of the same names. Set before the first connection.
	rejected      func(client netip.Addr, status int)
	misintroduced func(peer netip.Addr, proxy bool, wrong string)
	hits          Hits

	headers atomic.Int64 // bytes of headers beyond ownHeader of each connection
	streams atomic.Int64 // HTTP/2 requests at work

	mu      lockorder.Mutex[lockorder.Connections] // guards the fields below; never held across a wait
	open    map[*connection]struct{}
	clients map[netip.Addr]int // counted only where there is a limit
	changed chan struct{}      // has a token after a connection closed
}

// NewConnections makes an empty set. Of l, the set uses the limits that concern connections.
func NewConnections(l Limits) *Connections {
	return &Connections{
		limits: l.withDefaults(), open: map[*connection]struct{}{}, clients: map[netip.Addr]int{}, changed: make(chan struct{}, 1),
		rejected: func(netip.Addr, int) {}, misintroduced: func(netip.Addr, bool, string) {},
	}
}

// Counts holds numbers of connections.
type Counts struct {
	Open   int // open at this time, including those that end as soon as their client sends no more
	AtWork int // of Open, with a request, a stream or an upgraded protocol at work
	Limit  int // the most that Open may be
	// Numbers of connections that were closed since the start. Reclaimed: for others, while they waited. Refused:
	// their client had too many. Stalled: their client took nothing. Flooding: their client reset HTTP/2 requests.
	// Unintroduced: the PROXY header was malformed or did not come. Headerless: no memory was left for a header.
	Reclaimed, Refused, Stalled, Flooding, Unintroduced, Headerless uint64
}

// Counts counts the connections.
func (c *Connections) Counts() Counts {
	n := Counts{
		Limit: c.limits.MaxConnections, Reclaimed: c.reclaimed.Load(), Refused: c.refused.Load(), Stalled: c.stalled.Load(), Flooding: c.flooding.Load(),
		Unintroduced: c.unintroduced.Load(), Headerless: c.headerless.Load(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n.Open = len(c.open)
	for conn := range c.open {
		if !conn.waits() {
			n.AtWork++
		}
	}
	return n
}

// admit takes a connection into the set, once the set has room. It reports false when admit has closed the connection
// instead. A connection whose peer is among the proxies is counted for its client when the proxy has introduced the
// client.
func (c *Connections) admit(inner net.Conn, proxies []netip.Prefix, done <-chan struct{}) (*connection, bool) {
	conn := &connection{Conn: inner, all: c, client: addrOf(inner.RemoteAddr())}
	if c.hits != nil {
		conn.shared.broken = make(chan struct{}, 1)
	}
	conn.lengths.name, conn.codings.name = lengthField, codingField
	conn.introduced = slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(conn.client) })
	conn.since.Store(time.Now().UnixNano())
	for {
		switch c.add(conn) {
		case added:
			return conn, true
		case tooMany:
			c.refused.Add(1)
			inner.Close()
			return nil, false
		}
		if c.reclaim() > 0 {
			continue
		}
		select {
		case <-c.changed:
		case <-time.After(reclaimEvery): // a connection that was at work may wait by then
		case <-done:
			inner.Close()
			return nil, false
		}
	}
}

// reclaimEvery is how often admit looks through a full set for a connection without a request.
const reclaimEvery = 50 * time.Millisecond

type admission int

const (
	added admission = iota
	noPlace
	tooMany // for this client
)

func (c *Connections) add(conn *connection) admission {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !conn.introduced && c.limits.MaxPerClient > 0 && c.clients[conn.client] >= c.limits.MaxPerClient {
		return tooMany
	}
	if len(c.open) >= c.limits.MaxConnections {
		return noPlace
	}
	if !conn.introduced {
		c.list(conn)
	}
	c.open[conn] = struct{}{}
	return added
}

// list counts a connection as its client's. The caller holds mu.
func (c *Connections) list(conn *connection) {
	if c.limits.MaxPerClient > 0 {
		c.clients[conn.client]++
		conn.listed = true
	}
}

// count counts a connection for the client that the proxy has introduced. It reports false when the client has too
// many.
func (c *Connections) count(conn *connection, client netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.client = client
	if c.limits.MaxPerClient > 0 && c.clients[client] >= c.limits.MaxPerClient {
		return false
	}
	if _, open := c.open[conn]; open {
		c.list(conn)
	}
	return true
}

func (c *Connections) remove(conn *connection) {
	c.mu.Lock()
	delete(c.open, conn)
	if conn.listed {
		if c.clients[conn.client]--; c.clients[conn.client] <= 0 {
			delete(c.clients, conn.client)
		}
	}
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// reclaimPart is the divisor of MaxConnections that gives how many connections one reclaim closes. Finding the
// longest waiting takes a look at all.
const reclaimPart = 64

// reclaim closes the connections that have waited longest for a request, or for the rest of a request's header, and
// returns how many. A client whose request crosses the closing sees the same as at the end of a keep-alive (RFC 9112
// §9.5).
func (c *Connections) reclaim() (n int) {
	type idle struct {
		conn  *connection
		since int64 // when the wait began; in the future while the client may not have its answer yet
	}
	var all []idle
	c.mu.Lock()
	for conn := range c.open {
		if conn.waits() {
			since := conn.since.Load()
			if conn.lingering.Load() {
				// Closing a lingering connection resets it, and its client could lose an answer that it has not read
				// yet. So lingering connections come last.
				since += int64(lingerFor)
			}
			all = append(all, idle{conn, since})
		}
	}
	c.mu.Unlock()
	slices.SortFunc(all, func(a, b idle) int { return cmp.Compare(a.since, b.since) })
	for _, w := range all[:min(len(all), max(1, c.limits.MaxConnections/reclaimPart))] {
		if w.conn.take() {
			w.conn.drop()
			n++
		}
	}
	c.reclaimed.Add(uint64(n))
	return n
}

// Retire makes every further answer the last of its connection: HTTP/1.1 says Connection: close, HTTP/2 GOAWAY.
// Clients with further requests move elsewhere by themselves, and no client meets a connection that is closing.
func (c *Connections) Retire() { c.closing.Store(true) }

// freshFor is how long a server that ends still waits for the first request of a new connection. http.Server.Shutdown
// allows the same.
const freshFor = 5 * time.Second

// settleEvery is the interval at which Settle and Gone look at the connections.
const settleEvery = 10 * time.Millisecond

// Settle waits until no request is at work, upgraded connections and streams included, no new connection is about to
// send its first request, and no client still sends a body that has its answer. Settle returns how many such
// connections were left when ctx ended.
func (c *Connections) Settle(ctx context.Context) int {
	return untilNone(ctx, func() (n int) {
		now := time.Now()
		c.mu.Lock()
		defer c.mu.Unlock()
		for conn := range c.open {
			if !conn.waits() || conn.lingering.Load() || !conn.served.Load() && now.Sub(time.Unix(0, conn.since.Load())) < freshFor {
				n++
			}
		}
		return n
	})
}

// Gone closes every connection and waits until their requests have ended. It returns how many were left when ctx
// ended.
func (c *Connections) Gone(ctx context.Context) int {
	c.mu.Lock()
	left := slices.Collect(maps.Keys(c.open))
	c.mu.Unlock()
	for _, conn := range left {
		conn.drop()
	}
	return untilNone(ctx, func() (n int) {
		for _, conn := range left {
			if work := conn.atWork.Load(); work > 0 && work < takenOver {
				n++
			}
		}
		return n
	})
}

// untilNone waits until count returns zero. When ctx ends before, untilNone returns the count of that time.
func untilNone(ctx context.Context, count func() int) int {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for count() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return count()
		}
	}
	return 0
}
