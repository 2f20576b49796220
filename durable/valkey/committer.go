package valkey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"
)

// maxGroup is how many calls are proved safe at once, and maxGroups how many groups are under way. A disk that is
// synced once a second makes each group wait for up to a second.
const maxGroup, maxGroups = 512, 16

// ErrUnknown says that the server may have run the call or not.
var ErrUnknown = errors.New("nobody knows whether the server has it")

var errEnded = errors.New("this instance stops")

// Call is a script to be run whose writes have to be safe.
type Call struct {
	Script *Script
	Base   string // beginning of its keys: see At
	Args   []string
	Proof  Proof
}

// Answer is the result of a call that the server has run.
type Answer struct {
	Reply    valkey.ValkeyResult
	Unproved error // why the call's writes, if any, are not as safe as was asked; nil: they are
}

// Committer makes calls, in groups. A group holds the calls that have come while it waited for a place among the
// groups under way. Neither concurrent calls nor concurrent groups have an order. A Committer is safe for concurrent
// use.
type Committer struct {
	client  func() (valkey.Client, error)
	timeout time.Duration
	observe func(took time.Duration, err error) // called for each group
	calls   chan *sending
	wires   chan *wire // idle connections
	ended   chan struct{}
}

// NewCommitter makes a Committer. NewCommitter dials nothing, and Do returns only while Run runs or has ended.
// timeout is the server's time for its proof. A group is given up after three times as long.
func NewCommitter(client func() (valkey.Client, error), timeout time.Duration, observe func(took time.Duration, err error)) *Committer {
	return &Committer{client: client, timeout: timeout, observe: observe, calls: make(chan *sending, 4*maxGroup), wires: make(chan *wire, maxGroups), ended: make(chan struct{})}
}

// sending is a call on its way. A goroutine of Run sets answer, and then sends to done. A caller that has not
// received from done must not read answer.
type sending struct {
	Call
	answer Answer
	sent   bool       // a command with this call went out
	done   chan error // has room for one
}

// Do makes a call, and returns once the call's writes are as safe as the call asks, or the server has said that they
// are not (Answer.Unproved). With ErrUnknown the server may have run the call; with any other error the server has
// not.
func (c *Committer) Do(ctx context.Context, call Call) (Answer, error) {
	s := &sending{Call: call, done: make(chan error, 1)}
	select {
	case c.calls <- s:
	case <-c.ended:
		return Answer{}, errEnded
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
	// Do does not give the call up from here on, since Run may be sending the call at this moment. Run answers within
	// its timeouts.
	select {
	case err := <-s.done:
		return s.answer, err
	case <-c.ended:
	}
	select { // an answer may have come just before ended was closed
	case err := <-s.done:
		return s.answer, err
	default:
		return Answer{}, errEnded
	}
}

// Run makes the calls until ctx ends, and waits for the groups that are under way. Run must be called only once.
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

// apart divides a group into one group for each slot where slots are on several servers, since a connection leads to
// one of them.
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

// commit sends a group in one round trip. The commands that ask for the proof follow on the same connection, since
// WAIT and WAITAOF speak of the writes before them on the connection.
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
		default: // send has already answered this call
		}
	}
}

// wire is a connection to the server. One group at a time is sent on a wire.
type wire struct {
	valkey.DedicatedClient
	release func()
	home    string // address of the client's server when the connection was made
	used    time.Time
}

// homeOf returns the address of a client's server under Sentinel, which may name another one later; otherwise an
// empty text.
func homeOf(c valkey.Client) (address string) {
	if c.Mode() == valkey.ClientModeSentinel {
		for address = range c.Nodes() {
			return address
		}
	}
	return ""
}

// close ends a connection on which nobody knows which reply comes next.
func (w *wire) close() {
	w.Close()
	w.release()
}

// wire returns an idle connection, or a new one. Connections to a cluster are not kept: each leads to the node of one
// slot.
//
// A connection that was not used for a while may have ended meanwhile, as all connections do when the server stood
// still. wire sends a PING on such a connection first: the error of a command that is sent on an ended connection
// does not say whether the server has run the command.
//
// Invariant: wire returns no connection to a server that the client knows to be replaced. Such a connection may work
// as before, where the old server came back, or was only cut off. That server goes on as a primary until it hears of
// the new one, and loses the writes that it acknowledges until then.
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
			ended = ended || w.home == home // the others that rested have likely ended too
			w.close()
		default:
			d, release := client.Dedicate()
			return &wire{DedicatedClient: d, release: release, home: home}, nil
		}
	}
}

// restsAfter is how long an unused connection is taken to last.
const restsAfter = time.Second

func (c *Committer) lives(ctx context.Context, w *wire) bool {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return w.Do(ctx, w.B().Ping().Build()).Error() == nil
}

// keep makes a connection available to other groups.
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

// send sends a group. When send returns an error, nobody knows what has become of the calls that were sent. The
// server's error for one call is the answer to that call.
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
		var unknown []*sending // calls that the server has not run because it lacks the script
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
