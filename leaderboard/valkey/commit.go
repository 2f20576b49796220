package valkey

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"cacheproxy/leaderboard"

	"github.com/valkey-io/valkey-go"
)

const (
	// maxGroup is how many calls are proved safe at once, and maxGroups how many such groups are under way: a disk that is written once a
	// second makes each wait for up to that long.
	maxGroup, maxGroups = 1024, 16
)

// sending is a call on its way. The one who runs Run sets reply, then sends to done; whoever gives up before reads neither.
type sending struct {
	base       string
	args       []string
	durability leaderboard.Durability
	reply      []string
	sent       bool       // a command with it went out
	done       chan error // has room for one
}

var errEnded = errors.New("this instance stops")

// commit runs submitScript, and returns once what it has done is as durable as is asked.
func (r *Records) commit(ctx context.Context, d leaderboard.Durability, base string, args []string) ([]string, error) {
	a := &sending{base: base, args: args, durability: d, done: make(chan error, 1)}
	select {
	case r.groups <- a:
	case <-r.ended:
		return nil, fmt.Errorf("submit scores: %w", errEnded)
	case <-ctx.Done():
		return nil, fmt.Errorf("submit scores: %w", ctx.Err())
	}
	// It is never given up from here on, since it may be sent in this moment: Run answers within its timeouts.
	select {
	case err := <-a.done:
		return a.reply, err
	case <-r.ended:
	}
	select { // what was answered just before
	case err := <-a.done:
		return a.reply, err
	default:
		return nil, fmt.Errorf("submit scores: %w", errEnded)
	}
}

// Run makes submissions durable, as many at once as have come while it had to wait for those before, and looks after boards, until ctx ends.
// It runs once.
func (r *Records) Run(ctx context.Context) error {
	places := make(chan struct{}, maxGroups)
	var commits sync.WaitGroup
	commits.Go(func() { r.sweep(ctx) })
	defer func() {
		commits.Wait()
		for len(r.wires) > 0 {
			(<-r.wires).release()
		}
		close(r.ended)
	}()
	for {
		var group []*sending
		select {
		case a := <-r.groups:
			group = append(group, a)
		case <-ctx.Done():
			for {
				select {
				case a := <-r.groups:
					a.done <- fmt.Errorf("submit scores: %w", ctx.Err())
				default:
					return nil
				}
			}
		}
		places <- struct{}{}
		for len(group) < maxGroup && len(r.groups) > 0 {
			group = append(group, <-r.groups)
		}
		commits.Go(func() {
			for _, g := range r.apart(group) {
				r.commitGroup(ctx, g)
			}
			<-places
		})
	}
}

// apart divides a group into those of one slot each where slots are on several servers: a connection has one of them.
func (r *Records) apart(group []*sending) [][]*sending {
	client, err := r.options.Connection.Client()
	if err != nil || client.Mode() != valkey.ClientModeCluster {
		return [][]*sending{group}
	}
	at := map[string]int{}
	var all [][]*sending
	for _, a := range group {
		i, ok := at[a.base]
		if !ok {
			i = len(all)
			at[a.base] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], a)
	}
	return all
}

// commitGroup sends a group in one round trip, with the proof that it holds behind it on the same connection: WAIT and WAITAOF speak of what
// was written there before, and within a script they would wait for nothing.
func (r *Records) commitGroup(ctx context.Context, group []*sending) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*r.options.Timeout)
	defer cancel()
	c, err := r.wire()
	if err == nil {
		if err = r.sendGroup(ctx, c, group); err == nil {
			r.keep(c)
		} else {
			c.close()
		}
	}
	for _, a := range group {
		problem := err
		if err != nil && a.sent {
			problem = fmt.Errorf("%w: %w", leaderboard.ErrNotDurable, err)
		} else if err != nil {
			problem = fmt.Errorf("submit scores: %w", err)
		}
		select {
		case a.done <- problem:
		default: // sendGroup has told it its own
		}
	}
}

// wire is a connection to the server on which one group at a time is sent.
type wire struct {
	valkey.DedicatedClient
	release func()
}

// close ends a connection of which nobody knows what comes next on it.
func (w *wire) close() {
	w.Close()
	w.release()
}

// wire is one that is kept, or another. Of a cluster none is kept: each belongs to a slot.
func (r *Records) wire() (*wire, error) {
	select {
	case w := <-r.wires:
		return w, nil
	default:
	}
	client, err := r.options.Connection.Client()
	if err != nil {
		return nil, err
	}
	c, release := client.Dedicate()
	return &wire{c, release}, nil
}

// keep has a connection used again.
func (r *Records) keep(w *wire) {
	if client, err := r.options.Connection.Client(); err == nil && client.Mode() != valkey.ClientModeCluster {
		select {
		case r.wires <- w:
			return
		default:
		}
	}
	w.release()
}

// sendGroup sends a group. Where it fails, nobody knows what has become of those that were sent; what the server says of one goes to that
// one.
func (r *Records) sendGroup(ctx context.Context, c *wire, group []*sending) error {
	var synced, replicas bool
	for _, a := range group {
		synced = synced || a.durability == leaderboard.Synced
		replicas = replicas || a.durability == leaderboard.Replicas
	}
	for whole := false; len(group) > 0; whole = true {
		commands := make([]valkey.Completed, 0, len(group)+2)
		for i, a := range group {
			a.sent = true
			if whole && i == 0 { // from which the server learns it
				commands = append(commands, submitScript.whole(c, a.base, a.args))
				continue
			}
			commands = append(commands, submitScript.command(c, a.base, a.args))
		}
		patience := r.options.Timeout.Milliseconds()
		if synced {
			commands = append(commands, c.B().Waitaof().Numlocal(1).Numreplicas(0).Timeout(patience).Build())
		}
		if replicas {
			commands = append(commands, c.B().Wait().Numreplicas(1).Timeout(patience).Build())
		}
		results := c.DoMulti(ctx, commands...)
		p, err := proofOf(results[len(group):], synced, replicas)
		if err != nil {
			return err
		}
		var unknown []*sending // which the server has not run for want of the script
		for i, a := range group {
			if unknownScript(results[i].Error()) {
				a.sent = false
				unknown = append(unknown, a)
				continue
			}
			a.done <- a.read(results[i], p)
		}
		group = unknown
	}
	return nil
}

// proof is what the server says of all that was written before it on a connection.
type proof struct {
	onDisk, replicated bool
	fault              error // with which it refuses to say
}

// proofOf reads it. Its error is one of the connection, after which nothing is known.
func proofOf(results []valkey.ValkeyResult, synced, replicas bool) (p proof, err error) {
	if synced {
		counts, failed := results[0].AsIntSlice()
		if broken(failed) {
			return p, failed
		}
		p.onDisk, p.fault = failed == nil && len(counts) == 2 && counts[0] >= 1, failed
		results = results[1:]
	}
	if replicas {
		n, failed := results[0].AsInt64()
		if broken(failed) {
			return p, failed
		}
		p.replicated, p.fault = failed == nil && n >= 1, errors.Join(p.fault, failed)
	}
	return p, nil
}

// broken reports whether an error is not what the server has said.
func broken(err error) bool {
	_, said := valkey.IsValkeyErr(err)
	return err != nil && !said
}

// read says what came of one of the group. Only of what was recorded, or was before, has to be proved that it holds.
func (a *sending) read(result valkey.ValkeyResult, p proof) (err error) {
	if a.reply, err = texts(result); err != nil {
		if errors.Is(err, leaderboard.ErrFull) { // nothing was recorded
			return fmt.Errorf("submit scores: %w", err)
		}
		if said, ok := valkey.IsValkeyErr(err); ok { // it was refused, and is not there
			return fmt.Errorf("submit scores: %w", said)
		}
		return fmt.Errorf("%w: %w", leaderboard.ErrNotDurable, err)
	}
	switch {
	case a.reply[0] != "OK" && a.reply[0] != "SAME":
	case a.durability == leaderboard.Synced && !p.onDisk:
		return errors.Join(fmt.Errorf("%w: it is not on disk", leaderboard.ErrNotDurable), p.fault)
	case a.durability == leaderboard.Replicas && !p.replicated:
		return errors.Join(fmt.Errorf("%w: no replica has it", leaderboard.ErrNotDurable), p.fault)
	}
	return nil
}
