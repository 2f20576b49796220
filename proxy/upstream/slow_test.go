package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/test/bubbles"
)

// askAs sends a GET on behalf of a client.
func askAs(t *testing.T, u *Upstream, client string) (*http.Response, error) {
	t.Helper()
	var from netip.Addr
	if client != "" {
		from = netip.MustParseAddr(client)
	}
	slot, err := u.Acquire(t.Context(), Place{Client: from})
	if err != nil {
		return nil, err
	}
	return u.Send(request(t, u, "GET", nil), slot)
}

// A place is held for the upstream's time. A client that does not take its answer holds a stream's, of which it has its share; beyond
// that it has places until somebody else wants one.
func TestSlowReadersHoldNoPlace(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		const places, streams = 6, 8
		large := strings.Repeat("x", 1<<20) // more than the buffers on the way
		u := serveInBubble(t, Options{MaxInFlight: places, MaxStreams: streams, MaxQueue: 8, QueueTimeout: time.Second}, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, large)
		})
		var open []*http.Response
		ask := func(client string) {
			t.Helper()
			res, err := askAs(t, u, client)
			if err != nil {
				t.Fatalf("%s: %v", client, err)
			}
			if _, err := io.ReadFull(res.Body, make([]byte, 10)); err != nil {
				t.Fatalf("%s: %v", client, err)
			}
			open = append(open, res)
		}
		want := func(when string, inFlight, streams int) {
			t.Helper()
			if u.InFlight() != inFlight || u.Streams() != streams {
				t.Errorf("%s: %d in flight, %d streams, want %d and %d", when, u.InFlight(), u.Streams(), inFlight, streams)
			}
		}
		ask("192.0.2.1")
		ask("192.0.2.1")
		want("at first", 2, 0)
		<-time.After(2 * clientsTime)
		want("two slow ones of one client", 0, 2)
		ask("192.0.2.1")
		ask("192.0.2.1")
		<-time.After(10 * clientsTime)
		want("four, of which its share is two", 2, 2)
		ask("2001:db8::1")
		ask("2001:db8::2")
		<-time.After(2 * clientsTime)
		want("another's, who has networks instead of addresses", 2, 4)
		ask("2001:db8::3")
		for range places { // which are wanted, one after the other
			slot, err := u.Acquire(t.Context(), Place{})
			if err != nil {
				t.Fatal(err)
			}
			defer slot.Release()
		}
		want("when all places are wanted", places, 4)
		// Answers of those beyond their share have ended, and those of the others have not.
		for i, res := range open {
			_, err := io.Copy(io.Discard, res.Body)
			res.Body.Close()
			over := i == 2 || i == 3 || i == 6
			if over != errors.Is(err, errUntaken) || !over && err != nil || over && Classify(err) != policy.QueueFull {
				t.Errorf("answer %d: %v", i, err)
			}
		}
		want("in the end", places, 0)
		if len(u.limiter.streamsOf) != 0 {
			t.Errorf("streams of clients are left over: %v", u.limiter.streamsOf)
		}
	})
}

// Many clients, each within its share, can take all streams. Then those who are slow have places until somebody else wants one, too.
func TestSlowReadersOfManyClientsHoldNoPlace(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		const places, streams = 4, 8
		large := strings.Repeat("x", 1<<20) // more than the buffers on the way
		u := serveInBubble(t, Options{MaxInFlight: places, MaxStreams: streams, MaxQueue: 8, QueueTimeout: time.Second}, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, large)
		})
		var open []*http.Response
		for i := range streams + places {
			res, err := askAs(t, u, fmt.Sprintf("192.0.2.%d", i))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(res.Body, make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
			open = append(open, res)
			<-time.After(2 * clientsTime)
		}
		if u.InFlight() != places-1 || u.Streams() != streams {
			t.Errorf("%d in flight, %d streams, want %d and %d: who takes the last place is slow in vain", u.InFlight(), u.Streams(), places-1, streams)
		}
		for range places {
			slot, err := u.Acquire(t.Context(), Place{Client: netip.MustParseAddr("198.51.100.7")})
			if err != nil {
				t.Fatal(err)
			}
			defer slot.Release()
		}
		cut := 0
		for _, res := range open {
			if _, err := io.Copy(io.Discard, res.Body); errors.Is(err, errUntaken) {
				cut++
			} else if err != nil {
				t.Error(err)
			}
			res.Body.Close()
		}
		if cut != places {
			t.Errorf("%d answers have ended, want those of the %d places", cut, places)
		}
	})
}

// However often a client pauses, the time in which it does not take what has come is one.
func TestClientsTimeIsOfTheWholeResponse(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		u := serveInBubble(t, Options{MaxInFlight: 1}, func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				io.WriteString(w, strings.Repeat("x", 8<<10))
				w.(http.Flusher).Flush()
			}
		})
		res, err := askAs(t, u, "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		buf, paused := make([]byte, 4<<10), time.Duration(0)
		for u.InFlight() == 1 {
			if _, err := io.ReadFull(res.Body, buf); err != nil {
				t.Fatal(err)
			}
			<-time.After(clientsTime / 10)
			paused += clientsTime / 10
		}
		if paused < clientsTime || paused > clientsTime+clientsTime/10 {
			t.Errorf("the place was held for %v of the client's time, want %v", paused, clientsTime)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Error(err)
		}
		if res.Body.Close(); u.Streams() != 0 {
			t.Errorf("%d streams", u.Streams())
		}
	})
}

// One client has its share of the streams, and the others have theirs.
func TestStreamsOfOneClient(t *testing.T) {
	l := newLimiter(Options{MaxInFlight: 20, MaxStreams: 8})
	open := func(client string) (*Slot, error) {
		s, err := l.acquire(t.Context(), Place{Client: netip.MustParseAddr(client)})
		if err != nil {
			t.Fatal(err)
		}
		return s, s.stream()
	}
	var slots []*Slot
	for _, c := range []struct {
		client string
		err    error
	}{
		{"192.0.2.1", nil}, {"192.0.2.1", nil}, {"192.0.2.1", errClientStreams}, {"::ffff:192.0.2.1", errClientStreams},
		{"192.0.2.2", nil}, {"2001:db8::1", nil}, {"2001:db8::2", nil}, {"2001:db8::ffff:3", errClientStreams},
		{"2001:db8:0:1::1", nil}, {"192.0.2.3", nil}, {"192.0.2.4", nil}, {"192.0.2.5", errStreamsFull},
	} {
		s, err := open(c.client)
		if !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.client, err, c.err)
		}
		if slots = append(slots, s); err != nil && Classify(err) != policy.QueueFull {
			t.Errorf("%s: %v", c.client, Classify(err))
		}
	}
	for _, s := range slots {
		s.Release()
		s.Release()
	}
	if l.inFlight != 0 || l.streams != 0 || len(l.streamsOf) != 0 {
		t.Errorf("in the end %d in flight, %d streams, %v", l.inFlight, l.streams, l.streamsOf)
	}
}
