package upstream

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"cacheproxy/policy"
)

// A successor has its predecessor's places: together they never have more requests at the upstream than one may.
func TestSuccessorSharesPlaces(t *testing.T) {
	before := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "body") }, Options{MaxInFlight: 1, MaxQueue: -1})
	held, err := before.RoundTrip(request(t, before, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	o := before.options
	next := Succeed(before, o)
	t.Cleanup(next.CloseIdle)
	if _, err := next.RoundTrip(request(t, next, "GET", nil)); Classify(err) != policy.QueueFull {
		t.Errorf("a place that the predecessor has was given out again: %v", err)
	}
	o.MaxInFlight = 2
	third := Succeed(next, o)
	t.Cleanup(third.CloseIdle)
	res, err := third.RoundTrip(request(t, third, "GET", nil))
	if err != nil {
		t.Fatalf("the raised limit: %v", err)
	}
	if third.InFlight() != 2 || before.InFlight() != 2 {
		t.Errorf("in flight %d and %d, want 2 of both", third.InFlight(), before.InFlight())
	}
	for _, r := range []*http.Response{held, res} {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
	}
	if before.InFlight() != 0 {
		t.Errorf("in flight %d at the end", before.InFlight())
	}
}

// A retired upstream finishes what it has, also what begins late, and leaves no connection open.
func TestRetire(t *testing.T) {
	var open sync.WaitGroup
	arrived, release := make(chan struct{}), make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			close(arrived)
			<-release
		}
		io.WriteString(w, "body")
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Done()
		}
	}
	srv.Start()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := New(Options{Name: "test", URL: u})
	send := func(method string) {
		res, err := o.RoundTrip(request(t, o, method, nil))
		if err != nil {
			t.Error(err)
			return
		}
		if body, err := io.ReadAll(res.Body); string(body) != "body" {
			t.Errorf("%s: %q, %v", method, body, err)
		}
	}
	send("GET") // leaves an idle connection
	done := make(chan struct{})
	go func() { defer close(done); send("POST") }()
	<-arrived
	send("GET")
	o.Retire()
	send("GET") // such as one that waited for a place
	close(release)
	<-done
	open.Wait() // without the server's help: it closes what is idle only when it is closed
	srv.Close()
}
