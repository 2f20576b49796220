package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cacheproxy/test/servers"
)

// failoverTime is how long a sentinel has for replacing a server, and the server for coming back as a replica.
const failoverTime = time.Minute

// The faults that no run of failovers should be without.
const (
	Replaced = "the primary is killed and replaced"
	Lost     = "the replica falls behind, and the primary is killed"
)

// Guarded are the arguments of servers of which one that is cut off takes no writes, so that no lease is renewed there, before
// a sentinel replaces it: min-replicas-max-lag, a second that the server takes to notice, and the lease with its margin are
// less than what GuardedAfter gives.
func Guarded() []string {
	return []string{"--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"}
}

// GuardedAfter is how long a sentinel has to wait before it replaces one of those servers.
func GuardedAfter(lease time.Duration) time.Duration { return 2*time.Second + lease + lease/2 }

// Failovers are the faults of a fleet that finds Valkey through a sentinel, whose leases last as long as that. lost is
// told how many entries of the log a failover has lost.
func Failovers(members []*Member, s *servers.ValkeySentinel, lease time.Duration, lost func(entries int)) []Fault {
	f := failover{s, lost}
	member := func() *Member { return members[rand.IntN(len(members))] }
	return []Fault{
		{"the primary hands over", f.handOver},
		{Replaced, f.replace(func(primary, _ *servers.ValkeyServer) error {
			primary.Kill()
			return nil
		})},
		{"the primary freezes and is replaced", f.freeze},
		{Lost, f.lose},
		{"the replica is killed", f.killReplica},
		{"the primary is killed and started", f.restart},
		{"a proxy is killed", func(ctx context.Context) error {
			m := member()
			return errors.Join(m.Kill(), m.Restart(context.WithoutCancel(ctx)))
		}},
		{"a proxy freezes for longer than its lease", func(ctx context.Context) error { return member().Freeze(ctx, lease+rand.N(2*lease)) }},
		{"a proxy and the primary freeze, which is replaced", func(ctx context.Context) error {
			return f.freezeWith(ctx, member())
		}},
	}
}

type failover struct {
	*servers.ValkeySentinel
	lost func(entries int)
}

// bounded gives a fault its time, which it has also when the load is over.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), failoverTime)
}

func (f failover) handOver(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	primary, other, err := f.Now(ctx)
	if err != nil {
		return err
	}
	if _, err := f.Sentinel.CLI(ctx, "SENTINEL", "FAILOVER", servers.SentinelMaster); err != nil {
		return err
	}
	return errors.Join(f.AwaitPrimary(ctx, other), f.AwaitReplica(ctx, primary))
}

// replace is a fault that ends the primary, waits until it is replaced and has it come back.
func (f failover) replace(end func(primary, other *servers.ValkeyServer) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := bounded(ctx)
		defer cancel()
		primary, other, err := f.Now(ctx)
		if err != nil {
			return err
		}
		if err := end(primary, other); err != nil {
			return err
		}
		if err := f.AwaitPrimary(ctx, other); err != nil {
			return err
		}
		return f.comeBack(ctx, primary, other)
	}
}

// comeBack starts a server that was replaced. Half of the time it is told at once that it is a replica now; otherwise it
// takes itself for the primary until the sentinel has noticed.
func (f failover) comeBack(ctx context.Context, old, now *servers.ValkeyServer) error {
	if err := old.Start(ctx); err != nil {
		return err
	}
	if rand.IntN(2) == 0 {
		if err := old.Follow(ctx, now); err != nil {
			return err
		}
	}
	return f.AwaitReplica(ctx, old)
}

// freeze stops the primary until it was replaced. When it goes on it does not know that yet.
func (f failover) freeze(ctx context.Context) error { return f.freezeWith(ctx, nil) }

// freezeWith does that to a member too, as to one on the same machine: the two go on at about the same time.
func (f failover) freezeWith(ctx context.Context, m *Member) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	primary, other, err := f.Now(ctx)
	if err != nil {
		return err
	}
	if err := primary.Process().Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	frozen, thaw := context.WithCancel(ctx)
	defer thaw()
	goesOn := make(chan error, 1)
	go func() {
		if m == nil {
			goesOn <- nil
			return
		}
		goesOn <- m.Freeze(frozen, failoverTime)
	}()
	replaced := f.AwaitPrimary(ctx, other)
	pause(ctx, 2*time.Second+rand.N(time.Second)) // purges are confirmed there
	thaw()
	pause(ctx, rand.N(100*time.Millisecond))
	return errors.Join(replaced, <-goesOn, primary.Process().Signal(syscall.SIGCONT), f.AwaitReplica(ctx, primary))
}

// lose has the replica take the place of a primary whose last entries it does not have.
func (f failover) lose(ctx context.Context) error {
	var link *Link
	defer func() {
		if link != nil {
			link.Close()
		}
	}()
	return f.replace(func(primary, other *servers.ValkeyServer) (err error) {
		if link, err = NewLink(primary.Address()); err != nil {
			return err
		}
		if err := other.FollowAddress(ctx, link.Address()); err != nil {
			return err
		}
		within, cancel := bounded(ctx)
		defer cancel()
		if err := f.AwaitReplica(within, other); err != nil {
			return err
		}
		swallowed, done := context.WithCancel(within)
		defer done()
		killed := make(chan error, 1)
		go func() {
			defer done()
			pause(within, 200*time.Millisecond+rand.N(800*time.Millisecond))
			has, failed := entries(within, primary)
			primary.Kill()
			kept, failedToo := entries(within, other)
			f.lost(max(0, has-kept))
			killed <- errors.Join(failed, failedToo)
		}()
		return errors.Join(link.SwallowAnswers(swallowed, failoverTime), <-killed)
	})(ctx)
}

// entries is how many entries a server has in the log.
func entries(ctx context.Context, v *servers.ValkeyServer) (int, error) {
	answer, err := v.CLI(ctx, "HGET", "{"+prefix+"}:meta", "s")
	if err != nil || answer == "" {
		return 0, err
	}
	return strconv.Atoi(answer)
}

func (f failover) killReplica(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	primary, other, err := f.Now(ctx)
	if err != nil {
		return err
	}
	other.Kill()
	if err := other.Start(ctx); err != nil {
		return err
	}
	return errors.Join(other.Follow(ctx, primary), f.AwaitReplica(ctx, other))
}

// restart kills the primary and starts it before it is replaced: what it comes back with is what its replica has from then on.
func (f failover) restart(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	primary, other, err := f.Now(ctx)
	if err != nil {
		return err
	}
	primary.Kill()
	if err := primary.Start(ctx); err != nil {
		return err
	}
	return f.AwaitReplica(ctx, other)
}

// ReplaceAfter has the sentinel replace a primary that it has not heard of for that long, however short ago it has done so.
func ReplaceAfter(ctx context.Context, s *servers.ValkeySentinel, down time.Duration) error {
	for name, value := range map[string]time.Duration{"down-after-milliseconds": down, "failover-timeout": 2 * time.Second} {
		answer, err := s.Sentinel.CLI(ctx, "SENTINEL", "SET", servers.SentinelMaster, name, fmt.Sprint(value.Milliseconds()))
		if err != nil {
			return err
		}
		if strings.TrimSpace(answer) != "OK" {
			return fmt.Errorf("set %s of the sentinel: %s", name, answer)
		}
	}
	return nil
}
