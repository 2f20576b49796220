package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer makes the connections to the addresses of an upstream.
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

// lastKnownFor is for how long a name is taken to be where it was while it cannot be asked for. An address may be somebody else's in the end.
const lastKnownFor = 5 * time.Minute

// lastKnown is dial, but that a name which nobody tells is taken to be where it was: connections that work are given up for their age
// (Options.MaxConnectionAge), and without this an upstream that is well would be gone as soon as its name servers are. A name of which
// they say that it is not there is not there.
func lastKnown(dial dialFunc) dialFunc {
	type place struct {
		address string // IP:port
		seen    time.Time
	}
	var places sync.Map // of place, by the address with the name; there are as many as the upstream has addresses
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
