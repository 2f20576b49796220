package instance

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// phase is the phase of an instance: starting, serving or draining.
type phase struct{ now atomic.Int32 }

const (
	starting int32 = iota
	serving
	draining
)

// ready is the result of /readyz.
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
	// goodbye is how long HTTP/2 clients without open streams have to close their connections.
	goodbye = 2 * time.Second
	// cutOff is how long requests have to end after their connections are closed.
	cutOff = 5 * time.Second
)

// stop ends the listeners in steps: not ready; serving until balancers notice; asking clients to leave; finishing open
// requests; cutting off the rest. A failure of another part cuts the drain short.
func (i *Instance) stop(failed context.Context) {
	i.phase.now.Store(draining)
	notify(daemon.SdNotifyStopping)
	s := i.generations.current.Load()
	drain := s.DrainDelay
	i.log.Info("stopping", "drain", drain.String(), "then_at_most", s.ShutdownTimeout.String())
	pause(failed, drain/2)
	i.connections.Retire()
	pause(failed, drain-drain/2)
	ctx, cancel := context.WithTimeout(context.Background(), s.ShutdownTimeout)
	defer cancel()
	i.accepting.Close()
	i.finish(ctx)
	i.behind.end()
	i.proxy.Close()
	by, _ := ctx.Deadline()
	i.feed.stop()
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

// finish waits for requests, streams and upgraded connections, and closes those that are left.
func (i *Instance) finish(ctx context.Context) {
	if left := i.connections.Settle(ctx); left > 0 {
		i.log.Warn("connections cut off at exit", "connections", left, "waited", i.generations.current.Load().ShutdownTimeout.String())
	} else {
		going, cancel := context.WithTimeout(ctx, goodbye)
		defer cancel()
		if err := i.data.Shutdown(going); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			i.log.Warn("data listener not closed", "error", err)
		}
		i.connections.Settle(going) // answers on their way may have met clients that still send
	}
	i.data.Close()
	ended, cancel := context.WithTimeout(context.Background(), cutOff)
	defer cancel()
	if left := i.connections.Gone(ended); left > 0 {
		i.log.Error("requests do not end although their connections are closed", "requests", left)
	}
}
