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
	err := <-a.done
	return a.receipt, err
}

// Run appends what comes, as much at once as has come while it had to wait for the groups before, until ctx ends. Writes that are under way
// at one time have no order among them, so neither have groups.
func (q *Queue) Run(ctx context.Context) error {
	places := make(chan struct{}, maxGroups)
	var commits sync.WaitGroup
	defer commits.Wait()
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*q.options.Timeout)
	defer cancel()
	client, err := q.options.Connection.Client()
	if err == nil {
		err = client.Dedicated(func(c valkey.DedicatedClient) error { return q.send(ctx, c, group) })
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

func (q *Queue) send(ctx context.Context, c valkey.DedicatedClient, group []*adding) error {
	if err := c.Do(ctx, c.B().ScriptLoad().Script(appendScript.text).Build()).Error(); err != nil {
		return fmt.Errorf("load script: %w", err) // nothing of the group was sent
	}
	commands := make([]valkey.Completed, 0, len(group)+2)
	var fsync, replicas bool
	for _, a := range group {
		a.sent = true
		commands = append(commands, appendScript.command(c, q.base, arguments(a.entry)))
		fsync = fsync || a.entry.Rules.Durability == writebehind.Fsync
		replicas = replicas || a.entry.Rules.Durability == writebehind.Replicas
	}
	patience := q.options.Timeout.Milliseconds()
	if fsync {
		commands = append(commands, c.B().Waitaof().Numlocal(1).Numreplicas(0).Timeout(patience).Build())
	}
	if replicas {
		commands = append(commands, c.B().Wait().Numreplicas(1).Timeout(patience).Build())
	}
	results := c.DoMulti(ctx, commands...)
	rest := results[len(group):]
	onDisk, replicated := !fsync, !replicas
	var fault error
	if fsync {
		counts, err := rest[0].AsIntSlice()
		onDisk = err == nil && len(counts) == 2 && counts[0] >= 1
		fault, rest = err, rest[1:]
	}
	if replicas {
		n, err := rest[0].AsInt64()
		replicated = err == nil && n >= 1
		fault = errors.Join(fault, err)
	}
	for i, a := range group {
		a.done <- a.read(results[i], onDisk, replicated, fault)
	}
	return nil
}

// read says what came of one of the group.
func (a *adding) read(result valkey.ValkeyResult, onDisk, replicated bool, fault error) error {
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
		if !onDisk {
			return errors.Join(fmt.Errorf("%w: it is not on disk", writebehind.ErrNotSafe), fault)
		}
	case writebehind.Replicas:
		if !replicated {
			return errors.Join(fmt.Errorf("%w: no replica has it", writebehind.ErrNotSafe), fault)
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
