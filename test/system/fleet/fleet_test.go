package fleet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"cacheproxy/test/servers"
)

// Member is one proxy of a fleet.
type Member struct {
	Name string
	Link *Link // its way to Valkey; nil: it finds that by itself

	binary, dir, config string

	mu      sync.RWMutex
	running *servers.Cacheproxy // guarded by mu; nil: it is down
}

// Settings are those of all members.
type Settings struct {
	Binary string
	Dir    string
	Origin string
	Valkey string        // host:port, to which each member gets a link of its own
	Find   string        // where that is empty: what finds Valkey in the section valkey
	Lease  time.Duration // of the log
	// Durable has a purge or write acknowledged only when a replica has it.
	Durable bool
	// MoreUpstream is added to the upstream, and Routes stand in place of the usual ones.
	MoreUpstream, Routes string
}

// prefix is that of the fleet's keys in Valkey.
const prefix = "fleet"

// usualRoutes are those of a versioned origin: reads are purged by key and tag, writes are fenced.
const usualRoutes = `
  - name: item
    match: ["GET /v/{id}", "PUT /v/{id}"]
    policy: write-through
    key: "item:{id}"
    wait_timeout: 20s
`

// Start starts a member and waits until it may use copies.
func Start(ctx context.Context, name string, s Settings) (*Member, error) {
	m := &Member{Name: name, binary: s.Binary, dir: filepath.Join(s.Dir, name)}
	find, durability := s.Find, "none"
	if s.Valkey != "" {
		var err error
		if m.Link, err = NewLink(s.Valkey); err != nil {
			return nil, err
		}
		find = fmt.Sprintf("url: \"valkey://%s\"", m.Link.Address())
	}
	if s.Durable {
		durability = "replicas"
	}
	if s.Routes == "" {
		s.Routes = usualRoutes
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of %s: %w", name, err)
	}
	m.config = fmt.Sprintf("log: {hits: 0%%, others: 0%%}\ndrain_delay: 0s\nvalkey: {%s, prefix: %s, timeout: 200ms, lease: %s, durability: %s}\n"+
		"upstreams:\n  - {name: origin, url: \"%s\"%s}\nroutes:%s", find, prefix, s.Lease, durability, s.Origin, s.MoreUpstream, s.Routes)
	if err := m.Restart(ctx); err != nil {
		return nil, err
	}
	return m, m.AwaitLease(ctx)
}

// Restart starts the member anew after it has ended, in another process on other ports.
func (m *Member) Restart(ctx context.Context) error {
	p, err := servers.StartCacheproxy(ctx, m.binary, m.dir, m.config)
	if err != nil {
		return fmt.Errorf("start %s: %w", m.Name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = p
	return nil
}

// AwaitLease waits until the member may use copies.
func (m *Member) AwaitLease(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if p := m.now(); p != nil {
			if v, err := p.Gauge(ctx, "cacheproxy_lease_valid"); err == nil && v == 1 {
				return nil
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s takes no lease: %w; it printed: %s", m.Name, ctx.Err(), m.Output())
		}
	}
}

// Data and Admin are the URLs of the member as it runs now; ok is false while it is down.
func (m *Member) Data() (url string, ok bool) {
	p := m.now()
	if p == nil {
		return "", false
	}
	return p.URL, true
}

// Admin is the URL of the admin listener.
func (m *Member) Admin() (url string, ok bool) {
	p := m.now()
	if p == nil {
		return "", false
	}
	return p.Admin, true
}

func (m *Member) now() *servers.Cacheproxy {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.running
}

// Kill ends the member at once, as kill -9 does.
func (m *Member) Kill() error { return m.end(syscall.SIGKILL) }

// Stop ends the member in good order.
func (m *Member) Stop() error { return m.end(syscall.SIGTERM) }

func (m *Member) end(signal syscall.Signal) error {
	m.mu.Lock()
	p := m.running
	m.running = nil
	m.mu.Unlock()
	if p == nil {
		return nil
	}
	if err := p.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case <-p.Process.Done():
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("%s does not end: %s", m.Name, p.Process.Output())
	}
}

// Freeze stops the member's process for a while, as a pause of its machine does.
func (m *Member) Freeze(ctx context.Context, d time.Duration) error {
	p := m.now()
	if p == nil {
		return nil
	}
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return p.Process.Signal(syscall.SIGCONT)
}

// Output is the last that the member's process has printed.
func (m *Member) Output() string {
	if p := m.now(); p != nil {
		return p.Process.Output()
	}
	return ""
}

// Close ends the member and its link.
func (m *Member) Close() error {
	err := m.Stop()
	if m.Link != nil {
		m.Link.Close()
	}
	return err
}
