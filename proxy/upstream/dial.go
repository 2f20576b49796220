package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer returns the func that connects to the addresses of an upstream.
func dialer(o Options) dialFunc {
	if o.Dial == nil {
		return lastKnown((&net.Dialer{Timeout: o.DialTimeout, KeepAlive: keepAlive}).DialContext)
	}
	return lastKnown(func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
		defer cancel()
		return o.Dial(ctx, network, address)
	})
}

// lastKnownFor is how long lastKnown uses the last known IP address of a name while the name cannot be looked up. In
// the end the IP address may belong to somebody else.
const lastKnownFor = 5 * time.Minute

// lastKnown wraps dial. When the lookup of a name fails, it dials the last IP address to which the name led.
// Connections that work are closed at a certain age (Options.MaxConnectionAge). Without lastKnown a healthy upstream
// would be unreachable as soon as its name servers are. When the name servers say that a name does not exist, the
// dial fails.
func lastKnown(dial dialFunc) dialFunc {
	type place struct {
		address string // IP:port
		seen    time.Time
	}
	var places sync.Map // of place, by address with name; has as many entries as the upstream has addresses
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil {
			places.Store(address, place{conn.RemoteAddr().String(), time.Now()})
			return conn, nil
		}
		if lookup, is := errors.AsType[*net.DNSError](err); !is || lookup.IsNotFound || ctx.Err() != nil {
			return nil, err
		}
		if last, _ := places.Load(address); last != nil && time.Since(last.(place).seen) < lastKnownFor {
			if conn, failed := dial(ctx, network, last.(place).address); failed == nil {
				return conn, nil
			}
		}
		return nil, err
	}
}
