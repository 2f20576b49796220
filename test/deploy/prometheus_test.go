package deploy

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	rulesFile     = "deploy/prometheus/rules.yaml"
	dashboardFile = "deploy/grafana/cacheproxy.json"
	runbookFile   = "docs/runbook.md"
)

// alert is a rule of the file that fires.
type alert struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	if err := yaml.Unmarshal([]byte(read(t, rulesFile)), &file); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				all = append(all, r)
			}
		}
	}
	return all
}

// ruleTests are the files that the rules are tested with.
var ruleTests = []string{"rules_test.yaml", "rules_day_test.yaml"}

func TestRules(t *testing.T) {
	promtool := optional(t, "promtool", "prometheus")
	cmd := exec.Command(promtool, "check", "rules", "rules.yaml")
	cmd.Dir = filepath.Join(root, filepath.Dir(rulesFile))
	run(t, cmd)
	cmd = exec.Command(promtool, append([]string{"test", "rules"}, ruleTests...)...)
	cmd.Dir = filepath.Join(root, filepath.Dir(rulesFile))
	run(t, cmd)
}

// Every alert is tested with series that fire it and with series that do not.
func TestEveryRuleIsTested(t *testing.T) {
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, name := range ruleTests {
		var file struct {
			Tests []struct {
				AlertRuleTest []struct {
					Alertname string
					ExpAlerts []any `json:"exp_alerts"`
				} `json:"alert_rule_test"`
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/"+name)), &file); err != nil {
			t.Fatal(err)
		}
		for _, c := range file.Tests {
			for _, a := range c.AlertRuleTest {
				fires[a.Alertname] = fires[a.Alertname] || len(a.ExpAlerts) > 0
				quiet[a.Alertname] = quiet[a.Alertname] || len(a.ExpAlerts) == 0
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Alert] || !quiet[a.Alert] {
			t.Errorf("%s: tested that it fires: %v, that it does not: %v", a.Alert, fires[a.Alert], quiet[a.Alert])
		}
	}
}

// Every alert says what is wrong, how bad it is, and where to read what to do; and the runbook has no other.
func TestAlertsLeadToTheRunbook(t *testing.T) {
	sections := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^## (Cacheproxy\S+)$`).FindAllStringSubmatch(read(t, runbookFile), -1) {
		sections[heading[1]] = true
	}
	for _, a := range alerts(t) {
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" || !slices.Contains([]string{"page", "ticket", "info"}, a.Labels["severity"]) {
			t.Errorf("%s: %v %v", a.Alert, a.Labels, a.Annotations)
		}
		if want := runbookFile + "#" + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want || !sections[a.Alert] {
			t.Errorf("%s: runbook_url %q, want %q; the runbook has that section: %v", a.Alert, a.Annotations["runbook_url"], want, sections[a.Alert])
		}
		delete(sections, a.Alert)
	}
	if len(sections) > 0 {
		t.Errorf("sections of the runbook without an alert: %v", slices.Sorted(maps.Keys(sections)))
	}
}

// elsewhere are metrics that the program as it is started here need not show, and who or what shows them.
var elsewhere = map[string]string{
	"up":     "by Prometheus itself",
	"ALERTS": "by Prometheus itself",

	"cacheproxy_leaderboard_boards": "half a minute later",
	"cacheproxy_leaderboard_bytes":  "half a minute later",
}

// Every metric that an alert or the dashboard asks for is one that the running program has, with every label that is asked for.
func TestMetricsExist(t *testing.T) {
	shown := metrics(t)
	used := expressions(t)
	for _, a := range alerts(t) {
		used["alert "+a.Alert] = a.Expr
	}
	if len(used) < 40 {
		t.Fatalf("only %d expressions found", len(used))
	}
	for where, expression := range used {
		for _, name := range metricsOf(expression) {
			labels, ok := shown[name]
			if !ok && elsewhere[name] == "" {
				t.Errorf("%s: there is no metric %s", where, name)
			}
			for _, label := range matched(expression, name) {
				if ok && !labels[label] {
					t.Errorf("%s: %s has no label %s", where, name, label)
				}
			}
		}
	}
}

var name = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)

// metricsOf are the names of metrics in an expression.
func metricsOf(expression string) (names []string) {
	expression = regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expression, `""`)
	for _, word := range name.FindAllString(expression, -1) {
		if strings.HasPrefix(word, "cacheproxy_") || strings.HasPrefix(word, "process_") || strings.HasPrefix(word, "go_") || word == "up" || word == "ALERTS" {
			names = append(names, word)
		}
	}
	return names
}

// matched are the labels of the program's own that an expression selects a metric by.
func matched(expression, metric string) (labels []string) {
	for _, selector := range regexp.MustCompile(metric+`\{([^}]*)\}`).FindAllStringSubmatch(expression, -1) {
		for _, label := range regexp.MustCompile(`(\w+)(?:=~?|!=|!~)"`).FindAllStringSubmatch(selector[1], -1) {
			if label[1] != "job" && label[1] != "instance" {
				labels = append(labels, label[1])
			}
		}
	}
	return labels
}

// metrics are those that the program shows after some of everything, with their labels.
func metrics(t *testing.T) map[string]map[string]bool {
	t.Helper()
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/products/2" {
			w.Header().Set("Set-Cookie", "a=b")
		}
		fmt.Fprint(w, r.URL.Path)
	}))
	t.Cleanup(source.Close)
	config := fmt.Sprintf(runbookConfig, token, source.URL) + "valkey: {url: \"valkey://" + valkey(t) + "\"}\n" +
		"postgres: {url: \"postgres://feed@127.0.0.1:1/shop\", feeds: [{table: product, keys: [\"v2:product:{id}\"]}]}\n" // where nobody listens
	p := serveFile(t, write(t, filepath.Join(t.TempDir(), "config.yaml"), config))
	for _, path := range []string{"/products/1", "/products/1", "/products/2", "/other"} {
		if status, _, body := get(t, p.data+path); status != 200 {
			t.Fatalf("%s: %d %s", path, status, body)
		}
	}
	get(t, p.data+"/products/1", "X-Flag", "goes past the cache")
	for _, language := range []string{"de", "en"} {
		get(t, p.data+"/products/3", "Accept-Language", language)
	}
	get(t, p.admin+"/config", "Authorization", "Bearer wrong")
	purge := exec.Command(program, "purge", "--admin", p.admin, "--key", "v2:product:1")
	purge.Env = environment("CACHEPROXY_ADMIN_TOKEN=" + token)
	run(t, purge)
	shown := map[string]map[string]bool{}
	text := ""
	for !strings.Contains(text, "cacheproxy_feed_errors_total{") { // until the database was asked for once
		_, _, text = get(t, p.admin+"/metrics")
	}
	_, _, more := get(t, serveTLS(t, fmt.Sprintf(runbookConfig, token, source.URL)).admin+"/metrics")
	text += more + boards(t, source.URL) + queued(t, source.URL)
	for _, sample := range regexp.MustCompile(`(?m)^([a-zA-Z_]\w*)(\{.*\})? `).FindAllStringSubmatch(text, -1) {
		if shown[sample[1]] == nil {
			shown[sample[1]] = map[string]bool{}
		}
		for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(sample[2], -1) {
			shown[sample[1]][label[1]] = true
		}
	}
	return shown
}

// boards are the metrics of a program that has leaderboards, with an archive and without.
func boards(t *testing.T, upstream string) string {
	t.Helper()
	config := fmt.Sprintf(`listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
memory: {size: 64MiB}
valkey: {url: "valkey://%s"}
postgres: {url: "postgres://archive@127.0.0.1:1/shop"} # where nobody listens
upstreams: [{name: game, url: %q, host: upstream}]
routes:
  - name: scores
    match: ["POST /scores", "GET /leaderboard"]
    policy: leaderboard
    leaderboard: {board: all, window: 24h, authorize: none}
  - name: archived
    match: ["POST /archived/scores", "GET /archived/leaderboard"]
    policy: leaderboard
    leaderboard: {board: archived, window: 24h, authorize: none, archive: {}}
`, valkey(t), upstream)
	p := serveFile(t, write(t, filepath.Join(t.TempDir(), "config.yaml"), config))
	res, err := http.Post(p.data+"/scores", "application/json", strings.NewReader(`{"player": "ada", "score": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	get(t, p.data+"/leaderboard")
	_, _, text := get(t, p.admin+"/metrics")
	return text
}

// queued are the metrics of a program that has done a queued write.
func queued(t *testing.T, upstream string) (text string) {
	t.Helper()
	config := fmt.Sprintf(`listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
memory: {size: 64MiB}
valkey:
  url: "valkey://%s"
  secrets: [%q]
  signatures: require
upstreams: [{name: api, url: %q, host: upstream}]
routes:
  - name: carts
    match: "PUT /carts/{id}"
    policy: write-behind
    write_behind: {status_path: /_writes/, authorize: none}
`, valkey(t, "--appendonly", "yes"), strings.Repeat("0123456789abcdef", 3), upstream)
	p := serveFile(t, write(t, filepath.Join(t.TempDir(), "config.yaml"), config))
	for {
		req, err := http.NewRequest(http.MethodPut, p.data+"/carts/1", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode == http.StatusAccepted {
			break
		}
	}
	// Until the write is done, and the queue was counted.
	for !strings.Contains(text, "cacheproxy_write_behind_flush_seconds_count{") || !strings.Contains(text, "cacheproxy_write_behind_queued{") {
		_, _, text = get(t, p.admin+"/metrics")
	}
	return text
}

// serveTLS starts a program with a certificate for its clients.
func serveTLS(t *testing.T, config string) running {
	t.Helper()
	dir, pair := t.TempDir(), httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	defer pair.Close()
	key, err := x509.MarshalPKCS8PrivateKey(pair.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate().Raw})
	write(t, filepath.Join(dir, "cert.pem"), string(cert))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	return serveFile(t, write(t, filepath.Join(dir, "config.yaml"), config+"\ntls: {cert: cert.pem, key: key.pem}\n"))
}
