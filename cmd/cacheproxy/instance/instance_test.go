package instance

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
)

// An instance that is made does nothing; one that serves is ready while it does, and has let go of its sockets when it
// returns.
func TestServe(t *testing.T) {
	r := newReloadingWith(t, "drain_delay: 0s\n", slog.New(slog.DiscardHandler))
	if err := r.phase.ready(); err == nil {
		t.Error("ready before it serves")
	}
	data, operators := listenHere(t), listenHere(t)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- r.Serve(ctx, data, operators) }()
	until(t, "it is ready", func() bool { return r.phase.ready() == nil })
	if got := get(t, "http://"+data.Addr().String()+"/a"); got != "GET /a from " {
		t.Errorf("a client got %q", got)
	}
	if got := get(t, "http://"+operators.Addr().String()+"/readyz"); got != `{"status":"ready"}`+"\n" {
		t.Errorf("an operator got %q", got)
	}
	end()
	if err := <-ended; err != nil {
		t.Errorf("ended with: %v", err)
	}
	for _, l := range []net.Listener{data, operators} {
		again, err := net.Listen("tcp", l.Addr().String())
		if err != nil {
			t.Errorf("after the end: %v", err)
			continue
		}
		again.Close()
	}
}

func listenHere(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// get returns the body of an answer, on a connection of its own.
func get(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
