package fill

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/policy"
)

// Of a body that comes with its head, the copy is there when who waits is told, be it one that others may have without asking or not
// (RFC 9111 §5.2.2.4).
func TestCopyIsThereWithABodyAtHand(t *testing.T) {
	for _, directives := range []string{"max-age=60", "no-cache"} {
		t.Run(directives, func(t *testing.T) { copyWithABodyAtHand(t, directives) })
	}
}

func copyWithABodyAtHand(t *testing.T, directives string) {
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Cache-Control", directives)
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Length", "4")
		io.WriteString(w, "body")
	})
	for n := range 50 {
		q := r.request()
		q.Key = strings.Repeat("/a", n+1)
		q.URLKey = q.Key
		ticket := r.Join(Joiner{Key: q.Key, MaxWaiters: 1}, func() *Request { return q })
		res, lead, why := ticket.Await(t.Context(), time.Minute, nil)
		if why != policy.NoReason || lead == nil {
			t.Fatal(why, res.Err)
		}
		found := r.store.Lookup(q.Key, http.Header{}, time.Now())
		if found.Copy == nil || string(found.Copy.Body()) != "body" {
			t.Errorf("%s: there is an answer and no copy", q.Key)
		}
		found.Release()
		if p, err := lead.Next(t.Context()); string(p) != "body" || err != nil {
			t.Errorf("%q, %v", p, err)
		}
		lead.Detach()
	}
	if r.Load().Flights != 0 {
		t.Errorf("%d flights are open", r.Load().Flights)
	}
}

// The head of an answer whose body comes later waits for none of it.
func TestHeadDoesNotWaitForItsBody(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Length", "8")
		io.WriteString(w, "head")
		w.(http.Flusher).Flush()
		<-release
		io.WriteString(w, "body")
	})
	ticket := r.Join(joiner(), func() *Request { return r.request() })
	res, lead, why := ticket.Await(t.Context(), time.Minute, nil)
	if why != policy.NoReason || lead == nil {
		t.Fatal(why, res.Err)
	}
	if p, err := lead.Next(t.Context()); string(p) != "head" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	close(release)
	if p, err := lead.Next(t.Context()); string(p) != "body" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	lead.Detach()
	r.idle()
}

// Whoever of a flight has the group fetch, it is fetched once and all get it: those who join before the leader has come to ask, or
// have their answer by then.
func TestLateLeader(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); io.WriteString(w, "body") })
	first, lead := r.flights.join(joiner())
	if lead == nil {
		t.Fatal("it does not lead")
	}
	var joined [3]Ticket
	for i := range joined {
		joined[i] = r.Join(joiner(), func() *Request { t.Error("another leads"); return nil })
	}
	lead <- r.request()
	for _, other := range joined { // they have their answers, and nobody has a call any more
		if _, body := r.read(other); body != "body" {
			t.Errorf("%q", body)
		}
	}
	r.idle()
	results := make(chan result, 1)
	r.flights.ask(first.flight, results)
	first.result, first.filler = results, r.Filler
	res, reader, why := first.Await(t.Context(), time.Minute, nil)
	if why != policy.NoReason || reader == nil || res.Status != http.StatusOK || asked.Load() != 1 {
		t.Fatalf("%v, status %d, asked %d times", why, res.Status, asked.Load())
	}
	if p, err := reader.Next(t.Context()); string(p) != "body" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	reader.Detach()
}

// So it is with what comes last of a body that comes in pieces: whoever has as much of it as its length says finds the copy.
func TestCopyIsThereWithTheLastByte(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 4<<10) // 64 KiB, of which a read takes half
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		io.WriteString(w, body[:len(body)/3])
		w.(http.Flusher).Flush()
		io.WriteString(w, body[len(body)/3:])
	})
	for n := range 50 {
		q := r.request()
		q.Key = strings.Repeat("/a", n+1)
		q.URLKey = q.Key
		ticket := r.Join(Joiner{Key: q.Key, MaxWaiters: 1}, func() *Request { return q })
		_, lead, _ := ticket.Await(t.Context(), time.Minute, nil)
		read := 0
		for read < len(body) {
			p, err := lead.Next(t.Context())
			if err != nil || len(p) == 0 {
				t.Fatal(len(p), err)
			}
			read += len(p)
		}
		found := r.store.Lookup(q.Key, http.Header{}, time.Now())
		if found.Copy == nil || string(found.Copy.Body()) != body {
			t.Fatalf("%s: all of it is there and no copy", q.Key)
		}
		found.Release()
		lead.Detach()
	}
}
