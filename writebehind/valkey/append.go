package valkey

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"cacheproxy/writebehind"

	"github.com/valkey-io/valkey-go"
)

const (
	// maxGroup is how many writes are proved safe at once, and maxGroups how many such groups are under way: a disk that is written once a second
	// makes each wait for up to that long.
	maxGroup, maxGroups = 256, 8
)

// adding is an entry on its way. The one who runs Run sets receipt, then sends to done; whoever gives up before reads neither.
type adding struct {
	entry   *writebehind.Entry
	receipt writebehind.Receipt
	sent    bool       // a command with it went out
	done    chan error // has room for one
}

// Append takes a write in, and returns once it is as safe as the route asks. With ErrOtherPayload and ErrFull it is not in the queue; with
// ErrNotSafe it may be; with any other error it is not.
func (q *Queue) Append(ctx context.Context, e *writebehind.Entry) (writebehind.Receipt, error) {
	a := &adding{entry: e, done: make(chan error, 1)}
	select {
	case q.appends <- a:
	case <-ctx.Done():
		return writebehind.Receipt{}, fmt.Errorf("append write: %w", ctx.Err())
	}
	// It is never given up from here on, since it may be sent in this moment: Run answers within its timeouts.
	select {
	case err := <-a.done:
		return a.receipt, err
	case <-q.ended:
	}
	select { // what was answered just before
	case err := <-a.done:
		return a.receipt, err
	default:
		return writebehind.Receipt{}, fmt.Errorf("append write: %w", errEnded)
	}
}

var errEnded = errors.New("this instance stops")

// Run appends what comes, as much at once as has come while it had to wait for the groups before, until ctx ends. It runs once. Writes that are under way
// at one time have no order among them, so neither have groups.
func (q *Queue) Run(ctx context.Context) error {
	places := make(chan struct{}, maxGroups)
	var commits sync.WaitGroup
	defer func() {
		commits.Wait()
		for len(q.wires) > 0 {
			(<-q.wires).release()
		}
		close(q.ended)
	}()
	for {
		var group []*adding
		select {
		case a := <-q.appends:
			group = append(group, a)
		case <-ctx.Done():
			for {
				select {
				case a := <-q.appends:
					a.done <- fmt.Errorf("append write: %w", ctx.Err())
				default:
					return nil
				}
			}
		}
		places <- struct{}{}
		for len(group) < maxGroup && len(q.appends) > 0 {
			group = append(group, <-q.appends)
		}
		commits.Go(func() {
			q.commit(ctx, group)
			<-places
		})
	}
}

// commit appends a group in one round trip, with the proof that it holds behind it on the same connection: WAIT and WAITAOF speak of what
// was written there before, and within a script they would wait for nothing.
func (q *Queue) commit(ctx context.Context, group []*adding) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*q.options.Timeout)
	defer cancel()
	c, err := q.wire()
	if err == nil {
		if err = q.send(ctx, c, group); err == nil {
			q.keep(c)
		} else {
			c.close()
		}
	}
	q.options.Observe("queue_append", time.Since(start), err)
	for _, a := range group {
		problem := err
		if err != nil && a.sent {
			problem = fmt.Errorf("%w: %w", writebehind.ErrNotSafe, err)
		} else if err != nil {
			problem = fmt.Errorf("append write: %w", err)
		}
		select {
		case a.done <- problem:
		default: // send has told it its own
		}
	}
}

// wire is a connection to the server on which one group at a time is appended.
type wire struct {
	valkey.DedicatedClient
	release func()
}

// close ends a connection of which nobody knows what comes next on it.
func (w *wire) close() {
	w.Close()
	w.release()
}

// wire is one that is kept, or another.
func (q *Queue) wire() (*wire, error) {
	select {
	case w := <-q.wires:
		return w, nil
	default:
	}
	client, err := q.options.Connection.Client()
	if err != nil {
		return nil, err
	}
	c, release := client.Dedicate()
	return &wire{c, release}, nil
}

// keep has a connection used again.
func (q *Queue) keep(w *wire) {
	select {
	case q.wires <- w:
	default:
		w.release()
	}
}

// send appends a group. Where it fails, nobody knows what has become of those that were sent; what the server says of one goes to that one.
func (q *Queue) send(ctx context.Context, c *wire, group []*adding) error {
	var fsync, replicas bool
	for _, a := range group {
		fsync = fsync || a.entry.Rules.Durability == writebehind.Fsync
		replicas = replicas || a.entry.Rules.Durability == writebehind.Replicas
	}
	for whole := false; len(group) > 0; whole = true {
		commands := make([]valkey.Completed, 0, len(group)+2)
		for i, a := range group {
			a.sent = true
			if whole && i == 0 { // from which the server learns it
				commands = append(commands, appendScript.whole(c, q.base, arguments(a.entry)))
				continue
			}
			commands = append(commands, appendScript.command(c, q.base, arguments(a.entry)))
		}
		patience := q.options.Timeout.Milliseconds()
		if fsync {
			commands = append(commands, c.B().Waitaof().Numlocal(1).Numreplicas(0).Timeout(patience).Build())
		}
		if replicas {
			commands = append(commands, c.B().Wait().Numreplicas(1).Timeout(patience).Build())
		}
		results := c.DoMulti(ctx, commands...)
		p, err := proofOf(results[len(group):], fsync, replicas)
		if err != nil {
			return err
		}
		var unknown []*adding // which the server has not run for want of the script
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
func proofOf(results []valkey.ValkeyResult, fsync, replicas bool) (p proof, err error) {
	if fsync {
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

// read says what came of one of the group.
func (a *adding) read(result valkey.ValkeyResult, p proof) error {
	reply, err := texts(result)
	if err != nil {
		if said, ok := valkey.IsValkeyErr(err); ok { // it was refused, and is not there
			return fmt.Errorf("append write: %w", said)
		}
		return fmt.Errorf("%w: %w", writebehind.ErrNotSafe, err)
	}
	switch {
	case len(reply) == 2 && reply[0] == "FULL":
		return fmt.Errorf("%w of the %s", writebehind.ErrFull, reply[1])
	case len(reply) == 4 && (reply[0] == "OK" || reply[0] == "SAME"):
		a.receipt = writebehind.Receipt{ID: reply[1], State: writebehind.State(reply[2]), Accepted: moment(reply[3]), Known: reply[0] == "SAME"}
	default:
		return word(reply)
	}
	switch a.entry.Rules.Durability {
	case writebehind.Fsync:
		if !p.onDisk {
			return errors.Join(fmt.Errorf("%w: it is not on disk", writebehind.ErrNotSafe), p.fault)
		}
	case writebehind.Replicas:
		if !p.replicated {
			return errors.Join(fmt.Errorf("%w: no replica has it", writebehind.ErrNotSafe), p.fault)
		}
	}
	return nil
}

func arguments(e *writebehind.Entry) []string {
	repeats := "0"
	if e.Repeats {
		repeats = "1"
	}
	args := []string{
		strconv.Itoa(writebehind.PartitionOf(e.Key)), e.ID, e.Key, e.Route, strconv.Itoa(e.Rules.MaxQueued), strconv.Itoa(e.Rules.MaxPerKey),
		repeats, string(e.Sealed),
	}
	for _, i := range e.Identities {
		args = append(args, i.Name, i.Payload)
	}
	return args
}
