package instance

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"cacheproxy/observe"
	"cacheproxy/store"
	"cacheproxy/store/valkey"
)

// statsEvery is the time between queries for the size of the server's contents. statsFirst is that time until the first
// success.
const statsEvery, statsFirst = 15 * time.Second, time.Second

// sharedCopies are the copies on the server, and the claims on fetches.
type sharedCopies struct {
	tier   *valkey.Tier
	claims *valkey.Claims
	run    []func(context.Context) error
	gauges observe.TierGauges
}

// newSharedCopies makes the tier of copies on the server. The tier takes positions from the log, and asks the log
// whether the server is alive.
func (f *fleet) newSharedCopies(maxObject int64) sharedCopies {
	tier := valkey.New(valkey.Options{
		Connection: f.data, Prefix: f.settings.Prefix, Positions: f.entries, Timeout: f.settings.Timeout, MaxObject: maxObject,
		Compress: f.settings.Compress, Signer: f.signer, Alive: f.entries.Alive, Observe: f.observe, Log: f.log,
	})
	claims, held := valkey.NewClaims(tier), new(atomic.Pointer[valkey.Stats])
	held.Store(new(valkey.Stats))
	return sharedCopies{
		tier: tier, claims: claims,
		run: []func(context.Context) error{tier.Run, claims.Run, func(ctx context.Context) error { return f.weigh(ctx, tier, held) }},
		gauges: observe.TierGauges{
			Bytes: func() int64 { return held.Load().Bytes }, Entries: func() int64 { return held.Load().Entries },
			Evictions: func() uint64 { return held.Load().Evictions },
		},
	}
}

// weigh queries the size of the server's contents from time to time, until ctx ends. The last result stays while the
// server does not answer.
func (f *fleet) weigh(ctx context.Context, tier *valkey.Tier, held *atomic.Pointer[valkey.Stats]) error {
	tick := time.NewTicker(statsFirst)
	defer tick.Stop()
	for {
		asked, cancel := context.WithTimeout(ctx, time.Second)
		s, err := tier.Stats(asked)
		cancel()
		if err == nil {
			held.Store(&s)
			tick.Reset(statsEvery)
		} else if !errors.Is(err, store.ErrDown) && ctx.Err() == nil {
			f.log.Debug("Valkey does not say how much it holds", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
