package fill

import "cacheproxy/lockorder"

// tasks counts what runs on behalf of no client, so that a proxy can wait for it. The zero value is ready.
//
// A sync.WaitGroup would not do. Its Add from zero must not run beside Wait, and just that happens: the server gave up on a
// handler at shutdown, Close waits and the count is zero, and the handler starts a fill. Here the fill is refused. One that starts
// another while it runs itself is not: it has to write its copy to the tiers and give back its claim.
type tasks struct {
	mu      lockorder.Mutex[lockorder.Tasks]
	running int
	idle    chan struct{} // set by Close; closed when nothing runs any more
}

// begin counts one more task, which must call end. After Close, only what runs already may start more.
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

// Go runs f as a task. It reports false, and does not run it, when the tasks have come to their end.
func (t *tasks) Go(f func()) bool {
	if !t.begin() {
		return false
	}
	go func() {
		defer t.end()
		f()
	}()
	return true
}

// Close waits until nothing runs.
func (t *tasks) Close() {
	t.mu.Lock()
	if t.idle == nil {
		t.idle = make(chan struct{})
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
