package transparency

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"cacheproxy/test/servers"
)

// A call whose server breaks off, or does not answer within the upstream's timeout, gets a status of gRPC: that of a deadline where the
// client's own had passed, since then the call has ended as the client is about to end it, and else that of a server which is away.
func TestGRPCBrokenOff(t *testing.T) {
	plain := new(http.Protocols)
	plain.SetUnencryptedHTTP2(true)
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/pkg.Service/Aborts" {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}))
	origin.Config.Protocols = plain
	origin.Start()
	defer origin.Close()
	p, err := servers.StartCacheproxy(t.Context(), program, t.TempDir(),
		fmt.Sprintf(`
h2c: true
drain_delay: 0s
upstreams:
  - {name: grpc, url: "h2c://%[1]s", timeout: 100ms}
routes:
  - {name: all, match: /, policy: bypass}
`, origin.Listener.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Process.Stop() }()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{Protocols: plain}}
	for _, c := range []struct{ call, timeout, status string }{
		{"Aborts", "1n", "4"}, {"Aborts", "1H", "14"}, {"Aborts", "", "14"},
		{"Hangs", "1n", "4"}, {"Hangs", "50m", "4"}, {"Hangs", "1H", "14"}, {"Hangs", "", "14"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", p.URL+"/pkg.Service/"+c.call, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/grpc")
		if c.timeout != "" {
			r.Header.Set("Grpc-Timeout", c.timeout)
		}
		got, err := client.Do(r)
		if err != nil {
			t.Errorf("%s, timeout %q: %v", c.call, c.timeout, err)
			continue
		}
		got.Body.Close()
		if got.StatusCode != 200 || got.Header.Get("Grpc-Status") != c.status || got.Header.Get("Content-Type") != "application/grpc" {
			t.Errorf("%s, timeout %q: %d %v", c.call, c.timeout, got.StatusCode, got.Header)
		}
	}
}
