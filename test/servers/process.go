package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// tailBytes is how much of a server's last output an error message quotes.
const tailBytes = 4 << 10

// Command describes a server to start.
type Command struct {
	// Path is the program, Args its arguments without the program's name.
	Path string
	Args []string

	// Env is the whole environment; nil inherits this process's.
	Env []string

	// Dir is the working directory; empty inherits this process's.
	Dir string

	// Ready is text that the server prints, on standard output or standard
	// error, once it accepts connections. Empty: it counts as ready at once.
	Ready string

	// Interrupt asks the server to end in good order. Zero means SIGTERM.
	Interrupt syscall.Signal

	// Log also gets all that the server prints. Nil: nothing does.
	Log io.Writer

	credential *syscall.Credential
}

// Process is a running server. Its methods may be called concurrently.
type Process struct {
	cmd       *exec.Cmd
	out       *output
	interrupt syscall.Signal
	done      chan struct{} // closed when the process has ended and err is set
	err       error
}

// StartProcess starts a server and returns when it has printed Command.Ready.
// When ctx ends before that, or the server does, it is killed and the error
// quotes its last output. Once started, the server outlives ctx: the caller
// ends it with Stop.
func StartProcess(ctx context.Context, c Command) (*Process, error) {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	cmd.SysProcAttr = childAttributes(c.credential)
	cmd.WaitDelay = 5 * time.Second
	out := &output{want: []byte(c.Ready), ready: make(chan struct{})}
	cmd.Stdout = out
	if c.Log != nil {
		cmd.Stdout = io.MultiWriter(c.Log, out)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	p := &Process{cmd: cmd, out: out, interrupt: c.Interrupt, done: make(chan struct{})}
	if p.interrupt == 0 {
		p.interrupt = syscall.SIGTERM
	}
	go p.wait()
	if c.Ready == "" {
		return p, nil
	}
	select {
	case <-out.ready:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("start %s: it ended before it was ready (%v); its last output:\n%s", c.Path, p.err, out.Tail())
	case <-ctx.Done():
		p.kill()
		return nil, fmt.Errorf("start %s: not ready: %w; its last output:\n%s", c.Path, ctx.Err(), out.Tail())
	}
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended, for whatever reason.
func (p *Process) Done() <-chan struct{} { return p.done }

// Output is the last 4 KiB that the server printed.
func (p *Process) Output() string { return p.out.Tail() }

// Signal sends sig to the process. It is an error when the process has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.cmd.Path, err)
	}
	return nil
}

// Stop asks the server to end, waits up to ten seconds, then kills it. It
// returns when the process is gone; the error says that it had to be killed.
// A process that has ended already is no error.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(p.interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.kill()
		return fmt.Errorf("stop %s: %w", p.cmd.Path, err)
	}
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.kill()
		return fmt.Errorf("stop %s: it did not end within 10s of %v and was killed; its last output:\n%s", p.cmd.Path, p.interrupt, p.out.Tail())
	}
}

// kill ends the process at once and waits for it.
func (p *Process) kill() {
	// The only failure is that it has ended already, which is what is wanted.
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *Process) wait() {
	p.err = p.cmd.Wait()
	close(p.done)
}

// output keeps the last bytes written to it and notices when wanted text has
// been written.
type output struct {
	want  []byte
	ready chan struct{} // closed when want has been seen

	mu   sync.Mutex // guards tail and seen
	tail []byte
	seen bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, p...)
	if !o.seen && len(o.want) > 0 && bytes.Contains(o.tail, o.want) {
		o.seen = true
		close(o.ready)
	}
	if extra := len(o.tail) - tailBytes; extra > 0 {
		o.tail = append(o.tail[:0], o.tail[extra:]...)
	}
	return len(p), nil
}

// Tail returns the last bytes written.
func (o *output) Tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.tail)
}
