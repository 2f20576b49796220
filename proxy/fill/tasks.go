package fill

import (
	"sync/atomic"

	"cacheproxy/lockorder"
)

// tasks counts the goroutines that work for no single client, so that Close can wait for them. tasks keeps some
// goroutines that have finished their work for the next task. A fill needs more stack than a goroutine begins with,
// and a new goroutine has to copy its stack each time the stack grows. The zero value is ready, and keeps no
// goroutines.
//
// A sync.WaitGroup could not do this. Add from zero must not run beside Wait, and exactly that happens. The server
// gave up on a handler at shutdown. Close waits, and the count is zero. The handler starts a fill. tasks refuses this
// fill. A task that runs may start others until the count is zero: a fill has to write its copy to the tiers and
// release its claim.
type tasks struct {
	next    chan func()   // to a goroutine that is kept; nil: none are kept
	over    chan struct{} // closed by Close; then the kept goroutines end
	resting atomic.Int32  // goroutines that are kept; up to maxResting

	mu      lockorder.Mutex[lockorder.Tasks]
	running int
	idle    chan struct{} // set by Close; closed when no task runs any more
}

// maxResting is how many goroutines are kept without work.
const maxResting = 64

// keep makes tasks keep goroutines. keep must be called before the first task.
func (t *tasks) keep() { t.next, t.over = make(chan func()), make(chan struct{}) }

// begin counts one more task, which must call end. False: Close was called and no task runs. While tasks still run
// after Close, begin admits more.
func (t *tasks) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.idle != nil && t.running == 0 {
		return false
	}
	t.running++
	return true
}

func (t *tasks) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	if t.running == 0 && t.idle != nil {
		close(t.idle)
	}
}

// Go runs f as a task. False: Close was called and no task runs, and f does not run.
func (t *tasks) Go(f func()) bool {
	if !t.begin() {
		return false
	}
	t.spawn(func() {
		defer t.end()
		f()
	})
	return true
}

// spawn runs f on a goroutine. spawn does not count f as a task.
func (t *tasks) spawn(f func()) {
	select {
	case t.next <- f:
	default:
		go t.work(f)
	}
}

// work runs f, and then the next func that spawn sends while this goroutine is kept.
func (t *tasks) work(f func()) {
	for {
		f()
		if t.next == nil {
			return
		}
		if t.resting.Add(1) > maxResting {
			t.resting.Add(-1)
			return
		}
		select {
		case f = <-t.next:
			t.resting.Add(-1)
		case <-t.over:
			return
		}
	}
}

// Close waits until no task runs. begin then refuses every task.
func (t *tasks) Close() {
	t.mu.Lock()
	if t.idle == nil {
		t.idle = make(chan struct{})
		if t.over != nil {
			close(t.over)
		}
		if t.running == 0 {
			close(t.idle)
		}
	}
	t.mu.Unlock()
	<-t.idle
}

func (t *tasks) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.running
}
