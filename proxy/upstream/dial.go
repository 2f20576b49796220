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

// lastKnownFor is for how long the last address of a name is used while the name cannot be resolved. Later the address may belong to somebody else.
const lastKnownFor = 5 * time.Minute

// lastKnown wraps dial, so that a name that cannot be resolved is dialled at its last known address. Working connections are given up because of their
// age (Options.MaxConnectionAge), and without this an upstream would become unreachable as soon as its name servers are. If the name servers say that
// the name does not exist, the error stands.
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
