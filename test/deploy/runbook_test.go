package deploy

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runbookConfig is the configuration that the commands of the runbook speak of.
const runbookConfig = `
admin:
  tokens: [{name: sre, token: %s, allow: [all]}]
upstreams:
  - {name: shop, url: "%s", max_in_flight: 64}
routes:
  - name: product
    match: GET /products/{id}
    policy: cache-aside
    key: "v2:product:{id}"
    tags: ["product:{id}"]
    ttl: 10m
  - name: product-list
    match: GET /products
    policy: cache-aside
    ttl: 60s
    tags: [product-list]
`

// The first thing that the runbook says holds: off is off at once, and nothing stale comes back with on.
func TestRollbackInOneStep(t *testing.T) {
	p := serveFile(t, write(t, filepath.Join(t.TempDir(), "cacheproxy.yaml"), fmt.Sprintf(runbookConfig, token, api(t))))
	mode := func(mode string) {
		t.Helper()
		cmd := exec.Command(program, "mode", "--admin", p.admin, "--route", "product", mode)
		cmd.Env = environment("CACHEPROXY_ADMIN_TOKEN=" + token)
		run(t, cmd)
	}
	status := func(want string) {
		t.Helper()
		if _, header, _ := get(t, p.data+"/products/1"); !strings.Contains(header.Get("Cache-Status"), want) {
			t.Errorf("Cache-Status %q, want %q", header.Get("Cache-Status"), want)
		}
	}
	status("stored")
	status("hit")
	mode("off")
	status("detail=mode-off")
	mode("on")
	status("hit")
}
