package transparency

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"cacheproxy/test/servers"
)

// A call whose server breaks off gets a status of gRPC: that of a deadline where the client's own had passed, since then the server
// has ended the call as the client is about to, and else that of a server which is away.
func TestGRPCBrokenOff(t *testing.T) {
	plain := new(http.Protocols)
	plain.SetUnencryptedHTTP2(true)
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	origin.Config.Protocols = plain
	origin.Start()
	defer origin.Close()
	p, err := servers.StartCacheproxy(t.Context(), program, t.TempDir(),
		fmt.Sprintf("h2c: true\ndrain_delay: 0s\nupstreams: [{name: grpc, url: \"h2c://%s\"}]\nroutes: []\n", origin.Listener.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Process.Stop() }()
	client := &http.Client{Transport: &http.Transport{Protocols: plain}}
	for _, c := range []struct{ timeout, status string }{{"1n", "4"}, {"1H", "14"}, {"", "14"}} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", p.URL+"/pkg.Service/Call", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/grpc")
		if c.timeout != "" {
			r.Header.Set("Grpc-Timeout", c.timeout)
		}
		got, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if got.StatusCode != 200 || got.Header.Get("Grpc-Status") != c.status || got.Header.Get("Content-Type") != "application/grpc" {
			t.Errorf("timeout %q: %d %v", c.timeout, got.StatusCode, got.Header)
		}
	}
}
