package valkey

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"
)

// ErrNotConnected says that there is no connection yet. The client replaces connections that break by itself.
var ErrNotConnected = errors.New("not connected to Valkey")

const (
	dialTimeout  = 2 * time.Second
	redialAtMost = 2 * time.Second
	// writeTimeout ends a connection that takes no data, or does not answer.
	writeTimeout = 2 * time.Second
	// refreshTopology bounds how long a client may hold on to a server that was replaced: a notification of the
	// change can be missed.
	refreshTopology = 5 * time.Second
)

// Connection is a client of the server that is made once the server can be reached. A Connection is safe for
// concurrent use.
type Connection struct {
	server    Server
	multiplex int
	client    atomic.Pointer[valkey.Client] // set once, by Connect
	sought    atomic.Pointer[lookout]       // nil: no search is under way; see mute
	loud      atomic.Bool                   // the server answers where it was told not to
}

// NewConnection makes a connection that Run opens. multiplex is the binary logarithm of the number of sockets for
// each node.
func NewConnection(s Server, multiplex int) *Connection {
	return &Connection{server: s, multiplex: multiplex}
}

// Run connects, trying until an attempt succeeds, and closes the connection when ctx ends.
func (c *Connection) Run(ctx context.Context) error {
	for pause := 50 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, redialAtMost) {
		if c.Connect() == nil {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	if client, err := c.Client(); err == nil {
		client.Close()
	}
	return nil
}

// Connect makes one attempt, of a few seconds at most. Once an attempt has succeeded, further calls do nothing.
func (c *Connection) Connect() error {
	if c.client.Load() != nil {
		return nil
	}
	client, err := valkey.NewClient(c.options())
	if err != nil {
		return fmt.Errorf("connect to Valkey at %v: %w", c.server.Addresses, err)
	}
	if !c.client.CompareAndSwap(nil, &client) {
		client.Close()
	}
	return nil
}

// Client returns the connected client. Before the first connection Client fails with ErrNotConnected.
func (c *Connection) Client() (valkey.Client, error) {
	client := c.client.Load()
	if client == nil {
		return nil, ErrNotConnected
	}
	return *client, nil
}

func (c *Connection) options() valkey.ClientOption {
	s := c.server
	o := valkey.ClientOption{
		InitAddress: s.Addresses, Username: s.Username, Password: s.Password, SelectDB: s.Database, TLSConfig: s.TLS,
		ClientName: "cacheproxy", DialCtxFn: c.dial, Dialer: net.Dialer{Timeout: dialTimeout, KeepAlive: time.Second}, ConnWriteTimeout: writeTimeout,
		// The ledger says which copies are valid, so tracking of keys by the server adds nothing. Unless it always
		// pipelines, a client breaks the connection when the only command under way takes too long.
		DisableCache: true, PipelineMultiplex: c.multiplex, AlwaysPipelining: true,
		ReadBufferEachConn: 64 << 10, WriteBufferEachConn: 64 << 10,
	}
	if s.Sentinel != nil {
		o.Sentinel = valkey.SentinelOption{
			MasterSet: s.Sentinel.Master, Username: s.Sentinel.Username, Password: s.Sentinel.Password, Dialer: o.Dialer,
			TLSConfig: s.TLS, TopologyRefreshInterval: refreshTopology,
		}
		return o
	}
	o.ClusterOption.ShardsRefreshInterval = refreshTopology
	return o
}
