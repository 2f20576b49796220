package fill

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// Those who join a flight while its leader looks once more are sent back to the store when the leader finds a copy there, and
// also when it panics: nobody is left waiting.
func TestLeaderThatFetchesNothing(t *testing.T) {
	for name, found := range map[string]func() *Request{
		"a copy has come": func() *Request { return nil },
		"it panics":       func() *Request { panic("a defect of the request") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(http.ResponseWriter, *http.Request) { t.Error("the origin was asked") })
			looking, joined := make(chan struct{}), make(chan Ticket, 1)
			go func() {
				<-looking
				joined <- r.Join(joiner(), func() *Request { t.Error("a second leader"); return nil })
			}()
			func() {
				defer func() { _ = recover() }()
				lead := r.Join(joiner(), func() *Request {
					close(looking)
					waitFor(t, func() bool { return r.Load().Waiters == 1 })
					return found()
				})
				if lead.Role != AlreadyStored {
					t.Errorf("the leader's role is %v", lead.Role)
				}
			}()
			waits := <-joined
			if res, _, why := waits.Await(t.Context(), time.Minute, nil); waits.Role != Joined || !res.Again {
				t.Errorf("role %v: %v, again %v", waits.Role, why, res.Again)
			}
			r.idle()
		})
	}
}

// No lock is held while a leader looks and builds its request: others of every key go on meanwhile.
func TestLeadersDoNotWaitForEachOther(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); io.WriteString(w, "body") })
	lead := r.Join(joiner(), func() *Request {
		for _, key := range []string{"/b", "/c", "/d"} {
			q := r.request()
			q.Key = key
			if _, body := r.read(r.Join(Joiner{Key: key, MaxWaiters: 1}, func() *Request { return q })); body != "body" {
				t.Errorf("%s: %q", key, body)
			}
		}
		return r.request()
	})
	if _, body := r.read(lead); body != "body" || asked.Load() != 4 {
		t.Errorf("%q after %d requests", body, asked.Load())
	}
}

// A flight is closed after its copy is stored: whoever finds none to join finds the copy.
func TestNobodyFallsBetweenFlightAndCopy(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); io.WriteString(w, "body") })
	for range 200 {
		t := r.Join(joiner(), func() *Request {
			if _, ok := r.stored(); ok {
				return nil
			}
			return r.request()
		})
		if t.Role == AlreadyStored {
			continue
		}
		res, lead, _ := t.Await(r.t.Context(), time.Minute, nil)
		if lead != nil {
			lead.Detach()
		}
		_ = res
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the origin was asked %d times, want once", n)
	}
}
