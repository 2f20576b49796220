package valkey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"
)

// maxGroup is how many calls are proved safe at once, and maxGroups how many such groups are under way: a disk that is written once a second
// makes each wait for up to that long.
const maxGroup, maxGroups = 512, 16

// ErrUnknown is of a call that the server may have run or not.
var ErrUnknown = errors.New("nobody knows whether the server has it")

var errEnded = errors.New("this instance stops")

// Call is a script to be run whose writes have to be safe.
type Call struct {
	Script *Script
	Base   string // of its keys: see At
	Args   []string
	Proof  Proof
}

// Answer is what came of a call that the server has run.
type Answer struct {
	Reply    valkey.ValkeyResult
	Unproved error // what is not proved of what the call has written, if it has; nil: it is as safe as was asked
}

// Committer makes calls, as many at once as have come while it had to wait for those before. Calls that are under way at one time have no
// order among them, so neither have groups. It is safe for concurrent use.
type Committer struct {
	client  func() (valkey.Client, error)
	timeout time.Duration
	observe func(took time.Duration, err error) // of a group
	calls   chan *sending
	wires   chan *wire // that wait for a group
	ended   chan struct{}
}

// NewCommitter makes one. It dials nothing, and Run has to run for Do to return. Timeout is what the server has for its proof; a group
// is given up after three times as long.
func NewCommitter(client func() (valkey.Client, error), timeout time.Duration, observe func(took time.Duration, err error)) *Committer {
	return &Committer{client: client, timeout: timeout, observe: observe, calls: make(chan *sending, 4*maxGroup), wires: make(chan *wire, maxGroups), ended: make(chan struct{})}
}

// sending is a call on its way. The one who runs Run sets answer, then sends to done; whoever gives up before reads neither.
type sending struct {
	Call
	answer Answer
	sent   bool       // a command with it went out
	done   chan error // has room for one
}

// Do makes a call, and returns once its writes are as safe as it asks, or the server has said that they are not. With ErrUnknown it may have
// been run; with any other error it has not.
func (c *Committer) Do(ctx context.Context, call Call) (Answer, error) {
	s := &sending{Call: call, done: make(chan error, 1)}
	select {
	case c.calls <- s:
	case <-c.ended:
		return Answer{}, errEnded
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
	// It is never given up from here on, since it may be sent in this moment: Run answers within its timeouts.
	select {
	case err := <-s.done:
		return s.answer, err
	case <-c.ended:
	}
	select { // what was answered just before
	case err := <-s.done:
		return s.answer, err
	default:
		return Answer{}, errEnded
	}
}

// Run makes the calls until ctx ends, and waits for those that are under way. It runs once.
func (c *Committer) Run(ctx context.Context) {
	places := make(chan struct{}, maxGroups)
	var commits sync.WaitGroup
	defer func() {
		commits.Wait()
		for len(c.wires) > 0 {
			(<-c.wires).release()
		}
		close(c.ended)
	}()
	for {
		var group []*sending
		select {
		case s := <-c.calls:
			group = append(group, s)
		case <-ctx.Done():
			for {
				select {
				case s := <-c.calls:
					s.done <- ctx.Err()
				default:
					return
				}
			}
		}
		places <- struct{}{}
		for len(group) < maxGroup && len(c.calls) > 0 {
			group = append(group, <-c.calls)
		}
		commits.Go(func() {
			for _, g := range c.apart(group) {
				c.commit(ctx, g)
			}
			<-places
		})
	}
}

// apart divides a group into those of one slot each where slots are on several servers: a connection has one of them.
func (c *Committer) apart(group []*sending) [][]*sending {
	client, err := c.client()
	if err != nil || client.Mode() != valkey.ClientModeCluster {
		return [][]*sending{group}
	}
	at := map[string]int{}
	var all [][]*sending
	for _, s := range group {
		i, ok := at[s.Base]
		if !ok {
			i = len(all)
			at[s.Base] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], s)
	}
	return all
}

// commit sends a group in one round trip, with the proof that it holds behind it on the same connection: WAIT and WAITAOF speak of what
// was written there before.
func (c *Committer) commit(ctx context.Context, group []*sending) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*c.timeout)
	defer cancel()
	w, err := c.wire(ctx)
	if err == nil {
		if err = c.send(ctx, w, group); err == nil {
			c.keep(w)
		} else {
			w.close()
		}
	}
	c.observe(time.Since(start), err)
	for _, s := range group {
		problem := err
		if err != nil && s.sent {
			problem = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		select {
		case s.done <- problem:
		default: // send has told it its own
		}
	}
}

// wire is a connection to the server on which one group at a time is sent.
type wire struct {
	valkey.DedicatedClient
	release func()
	home    string // where the client had its server when it was made
	used    time.Time
}

// homeOf is where a client has its server. Sentinels may name another one.
func homeOf(c valkey.Client) (address string) {
	if c.Mode() == valkey.ClientModeSentinel {
		for address = range c.Nodes() {
			return address
		}
	}
	return ""
}

// close ends a connection of which nobody knows what comes next on it.
func (w *wire) close() {
	w.Close()
	w.release()
}

// wire is one that is kept, or another. Of a cluster none is kept: each belongs to a slot.
//
// One that was not used for a while may have ended meanwhile, as all do when the server stood still. It is asked first: what is sent on one that
// has ended has an error that says nothing of whether the server has it.
//
// Invariant: nothing is sent to a server that the client knows to be replaced. A connection to it may be as good as ever, where it came back, or was
// only cut off, and goes on as a primary until it hears of the other: what it acknowledges by then is lost.
func (c *Committer) wire(ctx context.Context) (*wire, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	home, ended := homeOf(client), false
	for {
		select {
		case w := <-c.wires:
			rested := time.Since(w.used) > restsAfter
			if w.home == home && !rested {
				return w, nil
			}
			if w.home == home && !ended && c.lives(ctx, w) {
				return w, nil
			}
			ended = ended || w.home == home // and with it, likely, those that rested beside it
			w.close()
		default:
			d, release := client.Dedicate()
			return &wire{DedicatedClient: d, release: release, home: home}, nil
		}
	}
}

// restsAfter is for how long a connection that is not used is taken to last.
const restsAfter = time.Second

func (c *Committer) lives(ctx context.Context, w *wire) bool {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return w.Do(ctx, w.B().Ping().Build()).Error() == nil
}

// keep has a connection used again.
func (c *Committer) keep(w *wire) {
	w.used = time.Now()
	if client, err := c.client(); err == nil && client.Mode() != valkey.ClientModeCluster {
		select {
		case c.wires <- w:
			return
		default:
		}
	}
	w.release()
}

// send sends a group. Where it fails, nobody knows what has become of those that were sent; what the server says of one goes to that one.
func (c *Committer) send(ctx context.Context, w *wire, group []*sending) error {
	var disk, replica bool
	for _, s := range group {
		disk, replica = disk || s.Proof == OnDisk, replica || s.Proof == OnReplica
	}
	for whole := false; len(group) > 0; whole = true {
		commands := make([]valkey.Completed, 0, len(group)+2)
		for i, s := range group {
			s.sent = true
			keys, args := At(s.Base, s.Args)
			if whole && i == 0 {
				commands = append(commands, s.Script.whole(w, keys, args))
				continue
			}
			commands = append(commands, s.Script.Command(w, keys, args))
		}
		results := w.DoMulti(ctx, append(commands, asked(w, disk, replica, c.timeout)...)...)
		p, err := proofOf(results[len(group):], disk, replica)
		if err != nil {
			return err
		}
		var unknown []*sending // which the server has not run for want of the script
		for i, s := range group {
			failed := results[i].Error()
			switch {
			case UnknownScript(failed):
				s.sent = false
				unknown = append(unknown, s)
			case broken(failed):
				s.done <- fmt.Errorf("%w: %w", ErrUnknown, failed)
			default:
				s.answer = Answer{results[i], p.of(s.Proof)}
				s.done <- nil
			}
		}
		group = unknown
	}
	return nil
}
