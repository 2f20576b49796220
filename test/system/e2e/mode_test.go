package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Which routes were switched by whom and until when can be listed, by whoever may switch them; and taken back.
func TestModesListed(t *testing.T) {
	o := newOrigin(t)
	p := serveConfig(t, strings.Replace(fmt.Sprintf(shopConfig, o.url), "name: other,", "name: other, mode: observe, mode_share: 25%,", 1)+tokens)
	mode := func(args ...string) result {
		t.Helper()
		return run(t, []string{"CACHEPROXY_ADMIN=" + p.admin, "CACHEPROXY_ADMIN_TOKEN=" + opsToken}, append([]string{"mode"}, args...)...)
	}
	if got := mode("--route", "product", "on", "--share", "10%", "--for", "1h"); got.status != 0 || got.out != "route product: on for 10% of the requests for 1h0m0s\n" {
		t.Fatalf("%+v", got)
	}
	var lines []string
	for line := range strings.Lines(mode().out) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	if len(lines) != 4 || !strings.HasPrefix(lines[1], "product on 10% on 100% ops 20") || lines[2] != "other observe 25% as is" {
		t.Errorf("listed:\n%s", strings.Join(lines, "\n"))
	}
	a := get(t, p.admin+"/routes", "Authorization: Bearer "+eyeToken)
	var list struct {
		Routes []struct {
			Route    string
			Override *struct{ By, Until string }
		}
	}
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || len(list.Routes) != 3 || list.Routes[0].Override.By != "ops" || list.Routes[0].Override.Until == "" || list.Routes[1].Override != nil {
		t.Errorf("%v in %s", err, a.body)
	}
	if a := get(t, p.admin+"/routes", "Authorization: Bearer "+cmsToken); a.status != 403 {
		t.Errorf("a token that may only purge: %d %s", a.status, a.body)
	}
	for _, c := range []struct{ name, want string }{
		{`cacheproxy_mode{route="product"}`, "0"}, {`cacheproxy_mode_share{route="product"}`, "0.1"},
		{`cacheproxy_mode{route="other"}`, "1"}, {`cacheproxy_mode_share{route="other"}`, "0.25"}, {`cacheproxy_mode_share{route="rest"}`, "1"},
	} {
		wantMetric(t, p, c.name, c.want)
	}
	if got := mode("--route", "product", "--reset"); got.status != 0 || got.out != "route product: on, as configured\n" {
		t.Errorf("%+v", got)
	}
	if got := metric(t, p, `cacheproxy_mode_share{route="product"}`); got != "1" {
		t.Errorf("after the reset the share is %s", got)
	}
	for _, want := range []string{`"msg":"set mode","who":"ops"`, `"share":"10%"`, `"mode":"configured"`, `"msg":"admin call","who":"eye"`, `"msg":"refuse admin call","who":"cms"`} {
		p.line(t, want, func(line string) bool { return strings.Contains(line, want) })
	}
}
