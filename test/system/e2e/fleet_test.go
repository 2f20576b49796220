package e2e

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"cacheproxy/test/servers"
)

// withValkey is the shop's configuration with a server that may not be there.
func withValkey(t *testing.T, address, more string) string {
	t.Helper()
	return fmt.Sprintf(shopConfig, newOrigin(t).url) + fmt.Sprintf("valkey: {url: \"valkey://:hunter2hunter2@%s\", lease: 1s%s}\n", address, more)
}

func nobody(t *testing.T) string {
	t.Helper()
	port, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// Without a server that it may do without, the program is ready and serves; a purge that is to hold everywhere is refused,
// one for this instance is not, and a mode is in force and not said to hold. No password is shown.
func TestValkeyIsDown(t *testing.T) {
	t.Parallel()
	address := nobody(t)
	p := serveConfig(t, withValkey(t, address, ""))
	for range 2 {
		if a := get(t, p.data+"/products/1"); a.status != 200 {
			t.Errorf("product: %d", a.status)
		}
	}
	if a := get(t, p.admin+"/readyz"); a.status != 200 {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	for _, c := range []struct {
		path, body string
		status     int
		said       string
	}{
		{"/purge", `{"keys":["a"]}`, 503, `"recorded":false,"held":false`},
		{"/purge", `{"keys":["a"],"wait":"none"}`, 503, `"held":false`},
		{"/purge", `{"keys":["a"],"wait":"local"}`, 202, `"held":false`},
		{"/routes/product/mode", `{"mode":"off"}`, 503, "this instance only"},
	} {
		a := call(t, "POST", p.admin+c.path, c.body)
		if a.status != c.status || !strings.Contains(a.body, c.said) || a.status == 503 && a.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %s", c.path, c.body, a.status, a.body)
		}
	}
	if a := get(t, p.data+"/products/1"); !strings.Contains(a.header.Get("Cache-Status"), "mode-off") {
		t.Errorf("after the switch: %s", a.header.Get("Cache-Status"))
	}
	shown := get(t, p.admin+"/config").body + get(t, p.admin+"/metrics").body + p.output()
	if !strings.Contains(shown, "starts without it") || !strings.Contains(shown, address) || strings.Contains(shown, "hunter2") {
		t.Errorf("shown: %s", shown)
	}
}

// A program that may not do without its server says so, and ends with an error.
func TestValkeyIsRequired(t *testing.T) {
	t.Parallel()
	address := nobody(t)
	got := run(t, nil, "serve", "--config", writeFile(t, "cacheproxy.yaml", withValkey(t, address, ", required: true")))
	if got.status != 1 || !strings.Contains(got.err, "valkey.required is true") || !strings.Contains(got.err, address) || strings.Contains(got.err, "hunter2") {
		t.Errorf("exit status %d: %s", got.status, got.err)
	}
}
