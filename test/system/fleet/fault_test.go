package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"cacheproxy/test/servers"
)

// Fault breaks something, and mends it before it returns.
type Fault struct {
	Name string
	Do   func(ctx context.Context) error
}

// Faults are those of a fleet on a server, whose leases last as long as that.
func Faults(members []*Member, valkey *servers.ValkeyServer, lease time.Duration) []Fault {
	member := func() *Member { return members[rand.IntN(len(members))] }
	moment := func() time.Duration { return lease/2 + rand.N(3*lease) }
	return []Fault{
		{"a proxy is killed", func(ctx context.Context) error {
			m := member()
			if err := m.Kill(); err != nil {
				return err
			}
			return m.Restart(ctx)
		}},
		{"a proxy is stopped and started", func(ctx context.Context) error {
			m := member()
			if err := m.Stop(); err != nil {
				return err
			}
			return m.Restart(ctx)
		}},
		{"a proxy freezes for longer than its lease", func(ctx context.Context) error {
			return member().Freeze(ctx, lease+rand.N(2*lease))
		}},
		{"a proxy is cut off", func(ctx context.Context) error { return member().Link.Swallow(ctx, moment()) }},
		{"a proxy gets no answers", func(ctx context.Context) error { return member().Link.SwallowAnswers(ctx, moment()) }},
		{"a proxy is far away", func(ctx context.Context) error {
			return member().Link.Delay(ctx, moment(), 50*time.Millisecond+rand.N(lease/2))
		}},
		{"Valkey is killed and started", func(ctx context.Context) error {
			valkey.Kill()
			pause(ctx, rand.N(2*lease))
			return valkey.Start(context.WithoutCancel(ctx))
		}},
		{"Valkey freezes", func(ctx context.Context) error {
			_, err := valkey.CLI(ctx, "DEBUG", "SLEEP", fmt.Sprintf("%.1f", (lease/2+rand.N(lease)).Seconds()))
			return err
		}},
		{"Valkey is emptied", func(ctx context.Context) error {
			_, err := valkey.CLI(ctx, "FLUSHALL")
			return err
		}},
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
