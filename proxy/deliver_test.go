package proxy

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// A client that has all of an answer and leaves has not broken off, although the fetch has not come to its end yet. Where
// the length is not known, or more is to come, nobody can tell.
func TestWhoLeavesWithAllOfIt(t *testing.T) {
	for _, c := range []struct {
		length int64
		broken bool
	}{{5, false}, {6, true}, {-1, true}} {
		ctx, leave := context.WithCancel(t.Context())
		from := followed(t, "whole")
		d := &delivery{rq: &request{r: httptest.NewRequestWithContext(ctx, "GET", "/", nil)}}
		d.w.ResponseWriter = leaver{httptest.NewRecorder(), leave}
		broken := func() (broken bool) {
			defer func() { broken = recover() != nil }()
			d.follow(&fill.Response{Length: c.length}, from, everything)
			return false
		}()
		if broken != c.broken || (d.finalReason() == policy.ClientGone) != c.broken {
			t.Errorf("length %d: broken off %v, %v", c.length, broken, d.finalReason())
		}
	}
}

// followed is a reader of a body of which this much has come.
func followed(t *testing.T, text string) *fill.Reader {
	t.Helper()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, text)
		http.NewResponseController(w).Flush() //nolint:errcheck // the reader waits for it
		<-r.Context().Done()
	}))
	t.Cleanup(origin.Close)
	address, err := url.Parse(origin.URL)
	if err != nil {
		t.Fatal(err)
	}
	shop := upstream.New(upstream.Options{Name: "shop", URL: address})
	route := fill.NewRoute(routeFor(t, "all", nil, "/"), shop, observe.NewMetrics("test"))
	fills := fill.New(fill.Options{Store: store.New(store.NewMemory(1 << 20)), Ledger: invalidation.NewLedger(), Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { fills.Close(); shop.CloseIdle() })
	ticket := fills.Alone(t.Context(), "k", nil, &fill.Request{Route: route, Method: "GET", Header: http.Header{}, Forward: http.Header{}})
	_, from, reason := ticket.Await(t.Context(), 0, nil)
	if from == nil {
		t.Fatal(reason)
	}
	return from
}

// leaver is a client that leaves once it has been sent something.
type leaver struct {
	*httptest.ResponseRecorder
	leave func()
}

func (l leaver) Write(p []byte) (int, error) {
	defer l.leave()
	return l.ResponseRecorder.Write(p)
}
