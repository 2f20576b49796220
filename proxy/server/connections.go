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

// Connections is the set of open connections of one data listener, those that were upgraded included. It holds them to the limits; the server that
// New makes watches the requests on them. It is safe for concurrent use.
type Connections struct {
	limits  Limits      // does not change
	closing atomic.Bool // answers end their connection; set by Retire, never cleared

	reclaimed, refused, stalled, flooding, unintroduced, headerless atomic.Uint64 // see Counts

	rejected func(client netip.Addr, status int) // see Options.Rejected; set before the first connection
	hits     Hits                                // see Options.Hits; likewise

	headers atomic.Int64 // bytes of headers beyond ownHeader of each connection
	streams atomic.Int64 // requests of HTTP/2 at work

	mu      lockorder.Mutex[lockorder.Connections] // guards what is below; nothing is waited for with it
	open    map[*connection]struct{}
	clients map[netip.Addr]int // counted only where there is a limit
	changed chan struct{}      // receives after a connection was removed; has room for one
}

// NewConnections makes the set; its limits are those of Limits that concern connections.
func NewConnections(l Limits) *Connections {
	return &Connections{
		limits: l.withDefaults(), open: map[*connection]struct{}{}, clients: map[netip.Addr]int{}, changed: make(chan struct{}, 1),
		rejected: func(netip.Addr, int) {},
	}
}

// Counts are numbers of connections.
type Counts struct {
	Open   int // open now, including those that are closed for writing and still read from (lingering)
	AtWork int // of Open, those with a request, a stream or an upgraded protocol
	Limit  int // the most that Open may be
	// Closed since the start. Reclaimed: idle ones that made room for others. Refused: of clients that had too many. Stalled: of clients that
	// took nothing, HTTP/2 streams included. Flooding: of clients that reset their HTTP/2 requests. Unintroduced: because the PROXY header
	// was malformed or did not come. Headerless: because there was no memory for a request's header.
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

// admit adds a connection to the set, as soon as there is room. It reports false if it has closed the connection instead. A connection of one of the
// proxies is counted for its client only when the PROXY header has named that client (count).
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
		case <-time.After(reclaimEvery): // a connection that was at work may be idle by then
		case <-done:
			inner.Close()
			return nil, false
		}
	}
}

// reclaimEvery is how often a full set is looked through for a connection without a request.
const reclaimEvery = 50 * time.Millisecond

type admission int

const (
	added admission = iota
	noPlace
	tooMany // of this client
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

// list counts a connection for its client. The caller holds mu.
func (c *Connections) list(conn *connection) {
	if c.limits.MaxPerClient > 0 {
		c.clients[conn.client]++
		conn.listed = true
	}
}

// count counts a connection for the client that its PROXY header names. It reports false if the client has too many.
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

// reclaimPart is the part of all connections that is closed at a time: looking for the oldest takes a look at all.
const reclaimPart = 64

// reclaim closes the connections that have waited longest for a request, or for the rest of one's header, and says how
// many. A client whose request crosses the closing sees what it sees at the end of a keep-alive (RFC 9112 §9.5).
func (c *Connections) reclaim() (n int) {
	type idle struct {
		conn  *connection
		since int64 // when it became idle, in Unix nanoseconds; later for connections that are to be closed last
	}
	var all []idle
	c.mu.Lock()
	for conn := range c.open {
		if conn.waits() {
			since := conn.since.Load()
			if conn.lingering.Load() {
				// Closing it now would reset it, and its client could lose an answer that it has not read yet. So it is closed last.
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

// Retire makes every answer from now on the last of its connection: HTTP/1.1 says Connection: close, HTTP/2 GOAWAY.
// Clients with something to ask move elsewhere by themselves, and none of them meets a connection that is closing.
func (c *Connections) Retire() { c.closing.Store(true) }

// freshFor is how long a new connection may take to its first request and still have it answered by a server that ends. It
// is what http.Server.Shutdown allows too.
const freshFor = 5 * time.Second

// settleEvery is how often Settle and Gone look.
const settleEvery = 10 * time.Millisecond

// Settle waits until no connection has a request, a stream or an upgraded protocol at work, no connection that is younger than freshFor is still
// without a request, and none is lingering. It returns how many such connections were left when ctx ended.
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

// Gone closes every connection and waits until their requests have ended. It returns how many were left when ctx ended.
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

// untilNone waits until count gives zero. It returns what count gives when ctx ends.
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
