package valkey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	durable "cacheproxy/durable/valkey"
	"cacheproxy/test/servers"
	"cacheproxy/writebehind"
)

// api is an origin with registers. It heeds X-Write-Sequence in one set of them, and not in the other.
type api struct {
	mu        sync.Mutex
	down      bool
	fails     float64 // the share of writes that fail, half of them after they were done
	checked   map[string]string
	plain     map[string]string
	last      map[string]uint64
	backwards int // writes that came after a later one of their key
	writes    int
}

func newAPI() *api {
	return &api{checked: map[string]string{}, plain: map[string]string{}, last: map[string]uint64{}}
}

func (a *api) put(w *writebehind.Write, sequence uint64) writebehind.Try {
	a.mu.Lock()
	defer a.mu.Unlock()
	failed := a.down || rand.Float64() < a.fails
	if failed && rand.IntN(2) == 0 {
		return writebehind.Try{Sent: true, Status: 503}
	}
	a.writes++
	if sequence < a.last[w.Path] {
		a.backwards++
	} else {
		a.last[w.Path], a.checked[w.Path] = sequence, string(w.Body)
	}
	a.plain[w.Path] = string(w.Body)
	if failed {
		return writebehind.Try{Sent: true, Problem: "origin-timeout"}
	}
	return writebehind.Try{Sent: true, Status: 200, Confirmed: true}
}

var errCrashed = errors.New("it has crashed")

// mortal is a queue as an instance sees it that crashes: from then on it says nothing and hears nothing.
type mortal struct {
	*Queue
	dead atomic.Bool
}

func (m *mortal) Tend(ctx context.Context) ([]writebehind.Ownership, time.Time, error) {
	if m.dead.Load() {
		return nil, time.Now(), errCrashed
	}
	return m.Queue.Tend(ctx)
}

func (m *mortal) Release(ctx context.Context, o writebehind.Ownership) error {
	if m.dead.Load() {
		return errCrashed
	}
	return m.Queue.Release(ctx, o)
}

func (m *mortal) Leave(ctx context.Context) error {
	if m.dead.Load() {
		return errCrashed
	}
	return m.Queue.Leave(ctx)
}

func (m *mortal) Begin(ctx context.Context, o writebehind.Ownership, id string) (writebehind.Record, writebehind.State, error) {
	if m.dead.Load() {
		return writebehind.Record{}, "", errCrashed
	}
	return m.Queue.Begin(ctx, o, id)
}

func (m *mortal) Settle(ctx context.Context, o writebehind.Ownership, id string, of writebehind.Outcome) error {
	if m.dead.Load() {
		return errCrashed
	}
	return m.Queue.Settle(ctx, o, id, of)
}

// fleet is instances that flush to one origin.
type fleet struct {
	t       *testing.T
	way     time.Duration // to the origin, at most
	server  *servers.ValkeyServer
	api     *api
	started int
	members []*member
}

type member struct {
	queue *mortal
	stop  context.CancelFunc
	ended chan struct{}
}

const testLease = 400 * time.Millisecond

func (f *fleet) add() {
	f.started++
	q, _ := open(f.t, f.server, "i"+strconv.Itoa(f.started), testLease)
	m := &member{queue: &mortal{Queue: q}, ended: make(chan struct{})}
	flusher := writebehind.NewFlusher(writebehind.FlusherOptions{
		Queue: m.queue, Sealer: sealer(f.t), Log: slog.New(slog.DiscardHandler),
		Send: func(ctx context.Context, w *writebehind.Write, sequence uint64, holds func() bool) writebehind.Try {
			if !holds() {
				return writebehind.Try{Problem: "not now"}
			}
			select { // the way there
			case <-time.After(rand.N(f.way)):
			case <-ctx.Done():
				return writebehind.Try{Sent: true, Problem: "canceled"}
			}
			return f.api.put(w, sequence)
		},
		Confirm: func(context.Context, *writebehind.Write) error { return nil },
	})
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	go func() {
		defer close(m.ended)
		_ = flusher.Run(ctx)
	}()
	f.members = append(f.members, m)
	f.t.Cleanup(func() { m.stop(); <-m.ended })
}

// crash ends one of them in the middle of what it does.
func (f *fleet) crash() {
	i := rand.IntN(len(f.members))
	m := f.members[i]
	m.queue.dead.Store(true)
	f.members = append(f.members[:i], f.members[i+1:]...)
	m.stop()
}

// drained waits until nothing waits.
func (f *fleet) drained() {
	f.t.Helper()
	q, _ := open(f.t, f.server, "watch", testLease)
	deadline := time.Now().Add(60 * time.Second)
	for {
		s, err := q.Stats(f.t.Context())
		if err == nil && len(s.Depth) == 0 {
			return
		}
		if time.Now().After(deadline) {
			waiting, _ := q.List(f.t.Context(), Listed{Most: 5})
			f.t.Fatalf("not drained: %+v, %v, %+v", s, err, waiting)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// writers makes writes of keys, one after the other of each, and returns what the last one of each puts there.
func writers(t *testing.T, v *servers.ValkeyServer, keys, each int, pause time.Duration) map[string]string {
	t.Helper()
	q, _ := open(t, v, "front", testLease)
	r := &writebehind.Rules{Durability: writebehind.Fsync, MaxQueued: 1 << 20, MaxPerKey: 1 << 20}
	want := map[string]string{}
	var all sync.WaitGroup
	for k := range keys {
		key := fmt.Sprint("key", k)
		want["/"+key] = strconv.Itoa(each)
		all.Go(func() {
			for n := 1; n <= each; n++ {
				e := entry(t, key, key+"."+strconv.Itoa(n), strconv.Itoa(n), r)
				for { // what may be there is sent again under the same idempotency key, as a client does
					if _, err := q.Append(t.Context(), e); err == nil {
						break
					} else if errors.Is(err, writebehind.ErrOtherPayload) || t.Context().Err() != nil {
						t.Errorf("append: %v", err)
						return
					}
					<-time.After(50 * time.Millisecond)
				}
				<-time.After(pause)
			}
		})
	}
	all.Wait()
	return want
}

func (f *fleet) holds(want map[string]string) {
	f.t.Helper()
	f.api.mu.Lock()
	defer f.api.mu.Unlock()
	for path, value := range want {
		if f.api.checked[path] != value {
			f.t.Errorf("%s is %q at an origin that checks the sequence, want %q", path, f.api.checked[path], value)
		}
		if f.api.backwards == 0 && f.api.plain[path] != value {
			f.t.Errorf("%s is %q at an origin that does not, want %q", path, f.api.plain[path], value)
		}
	}
}

// Whatever crashes, and whatever the origin does, it ends with exactly what was accepted, and each key's writes come in their order.
func TestFaults(t *testing.T) {
	v := withAOF(t)
	f := &fleet{t: t, way: 3 * time.Millisecond, server: v, api: newAPI()}
	f.api.fails = 0.05
	for range 3 {
		f.add()
	}
	faults := make(chan struct{})
	go func() {
		defer close(faults)
		pause := func(d time.Duration) { <-time.After(d) }
		for i := range 4 {
			pause(300 * time.Millisecond)
			f.crash()
			f.add()
			switch i {
			case 1:
				v.Kill()
				pause(200 * time.Millisecond)
				if err := v.Start(t.Context()); err != nil {
					t.Error(err)
				}
			case 2:
				f.api.setDown(true)
				pause(500 * time.Millisecond)
				f.api.setDown(false)
			}
		}
	}()
	want := writers(t, v, 16, 60, 20*time.Millisecond)
	<-faults
	f.drained()
	f.holds(want)
	f.api.mu.Lock()
	defer f.api.mu.Unlock()
	if f.api.backwards > 0 {
		t.Errorf("%d of %d writes came after a later one of their key", f.api.backwards, f.api.writes)
	}
	t.Logf("%d writes at the origin for %d that were accepted", f.api.writes, 16*60)
}

func (a *api) setDown(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

// The same with leases off breaks: else the test above would be blind.
func TestFaultsWithoutLeases(t *testing.T) {
	begin, settle, tend := beginScript, settleScript, tendScript
	t.Cleanup(func() { beginScript, settleScript, tendScript = begin, settle, tend })
	check := "if redis.call('GET', b .. 'o:' .. ARGV[2]) ~= ARGV[3] then return {'LOST'} end"
	for _, s := range []**durable.Script{&beginScript, &settleScript} {
		if !strings.Contains((*s).Text, check) {
			t.Fatal("the check of the owner is somewhere else")
		}
		*s = durable.NewScript(strings.Replace((*s).Text, check, "", 1))
	}
	tendScript = durable.NewScript(prelude + `
local reply = {'1'}
for p = 0, tonumber(ARGV[3]) - 1 do
  reply[#reply + 1] = tostring(p)
  reply[#reply + 1] = '1'
  reply[#reply + 1] = 'keep'
end
return reply
`)
	v := withAOF(t)
	f := &fleet{t: t, way: 20 * time.Millisecond, server: v, api: newAPI()}
	f.api.fails = 0.05
	for range 3 {
		f.add()
	}
	writers(t, v, 16, 60, 2*time.Millisecond)
	f.drained()
	f.api.mu.Lock()
	defer f.api.mu.Unlock()
	if f.api.backwards == 0 {
		t.Errorf("none of %d writes came after a later one of its key, although everybody sends", f.api.writes)
	}
	t.Logf("%d of %d writes came after a later one of their key", f.api.backwards, f.api.writes)
}
