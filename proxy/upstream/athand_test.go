package upstream

import (
	"io"
	"testing"
	"time"
)

// A body is at hand when all of it came with its head, and not before: who reads one that is waits for nobody.
func TestAtHand(t *testing.T) {
	o := newRawOrigin(t)
	for _, c := range []struct {
		about, answer, method string
		want                  bool
	}{
		{"with its head", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole", "GET", true},
		{"none", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", true},
		{"none by its status", "HTTP/1.1 204 No Content\r\n\r\n", "GET", true},
		{"none by its method", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", true},
		{"with more than it", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole and more", "GET", true},
		{"a part", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nwhole", "GET", false},
		{"nothing yet", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", false},
		{"of a length that nobody told", "HTTP/1.1 200 OK\r\n\r\nwhole", "GET", false},
		{"in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n", "GET", false},
	} {
		for _, indirect := range []bool{false, true} {
			u := o.upstream(t, indirect)
			o.says(c.answer, false)
			req := request(t, u, "GET", nil)
			req.Method = c.method
			res, err := u.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			none := res.ContentLength == 0 || c.method == "HEAD"
			if got, want := AtHand(res), c.want && (none || !indirect); got != want {
				t.Errorf("%s (indirect: %v): %v, want %v", c.about, indirect, got, want)
			}
			res.Body.Close()
		}
	}
}

// A client that takes what is at hand bit by bit has to let others have its place, as one that takes what comes.
func TestBodyAtHandIsOnAClock(t *testing.T) {
	o := newRawOrigin(t)
	o.says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole", false)
	u := o.upstream(t, false)
	res, err := u.RoundTrip(request(t, u, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if !AtHand(res) {
		t.Fatal("it is not at hand")
	}
	if _, err := io.ReadFull(res.Body, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); u.InFlight() > 0 || u.Streams() != 1; {
		if time.Now().After(deadline) {
			t.Fatalf("%d in flight, %d streams long after the client's time", u.InFlight(), u.Streams())
		}
		<-time.After(10 * time.Millisecond)
	}
	if rest, err := io.ReadAll(res.Body); string(rest) != "ole" || err != nil || u.Streams() != 0 {
		t.Errorf("%q, %v; %d streams", rest, err, u.Streams())
	}
}
