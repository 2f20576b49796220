package instance

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// phase is where an instance is in its life.
type phase struct{ now atomic.Int32 }

const (
	starting int32 = iota
	serving
	draining
)

// ready is the answer of /readyz.
func (p *phase) ready() error {
	switch p.now.Load() {
	case serving:
		return nil
	case draining:
		return errors.New("draining: this instance is about to stop, and still answers what comes")
	default:
		return errors.New("starting")
	}
}

const (
	// handover is how long new connections are left to another instance before this one's socket closes: longer than
	// handshakes under way take.
	handover = time.Second
	// goodbye is how long HTTP/2 clients have to go away once they have nothing open any more.
	goodbye = 2 * time.Second
	// cutOff is how long requests have to end once their connections are closed.
	cutOff = 5 * time.Second
)

// stop ends the listeners: not ready, serving while balancers notice, then asking clients to go, then finishing what is
// at work, then cutting off what is not done. A failure elsewhere cuts the drain short.
func (i *Instance) stop(failed context.Context) {
	i.phase.now.Store(draining)
	notify("STOPPING=1")
	s := i.generations.current.Load()
	drain := s.DrainDelay
	i.log.Info("stopping", "drain", drain.String(), "then_at_most", s.ShutdownTimeout.String())
	if i.leave() {
		drain = max(drain, handover)
	}
	pause(failed, drain/2)
	i.connections.Retire()
	pause(failed, drain-drain/2)
	ctx, cancel := context.WithTimeout(context.Background(), s.ShutdownTimeout)
	defer cancel()
	i.emptyQueue(ctx)
	i.accepting.Close()
	i.finish(ctx)
	i.proxy.Close()
	by, _ := ctx.Deadline()
	i.fleet.leave(by)
	last, done := context.WithTimeout(context.Background(), goodbye)
	defer done()
	if err := i.operator.Shutdown(last); err != nil {
		i.operator.Close()
	}
	i.log.Info("stopped")
}

func pause(failed context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-failed.Done():
	}
}

// finish waits for requests, streams and upgraded connections, and closes what is left.
func (i *Instance) finish(ctx context.Context) {
	if left := i.connections.Settle(ctx); left > 0 {
		i.log.Warn("connections cut off at exit", "connections", left, "waited", i.generations.current.Load().ShutdownTimeout.String())
	} else {
		going, cancel := context.WithTimeout(ctx, goodbye)
		defer cancel()
		if err := i.data.Shutdown(going); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			i.log.Warn("data listener not closed", "error", err)
		}
		i.connections.Settle(going) // answers that were on their way may have met clients that still send
	}
	i.data.Close()
	ended, cancel := context.WithTimeout(context.Background(), cutOff)
	defer cancel()
	if left := i.connections.Gone(ended); left > 0 {
		i.log.Error("requests do not end although their connections are closed", "requests", left)
	}
}

// leave directs new connections to the other instance where the port is shared. It reports whether it did.
func (i *Instance) leave() bool {
	if !i.snapshot.ReusePort {
		return false
	}
	left := false
	for _, l := range []net.Listener{i.dataListener, i.adminListener} {
		if err := onSocket(l, steer); err != nil {
			i.log.Warn("connections that arrive at the last moment may be reset", "error", err)
			continue
		}
		left = true
	}
	return left
}

// emptyQueue waits until what has arrived was accepted: the system resets what is left.
func (i *Instance) emptyQueue(ctx context.Context) {
	if !i.snapshot.ReusePort {
		return // the port goes with the queue, or the service manager keeps both
	}
	ctx, cancel := context.WithTimeout(ctx, handover)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		waiting := 0
		err := onSocket(i.dataListener, func(fd int) (err error) {
			waiting, err = queued(fd)
			return err
		})
		if err != nil {
			i.log.Warn("connections that arrive at the last moment may be reset", "error", err)
			return
		}
		if waiting == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
