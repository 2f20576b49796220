package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// reloadConfig is a configuration whose route says in a tag which one it is.
const reloadConfig = `
drain_delay: 0s
upstreams: [{name: origin, url: "%s"}]
routes:
  - {name: kept, match: "GET /kept/{id}", policy: cache-aside, ttl: 1h}
  - {name: generation, match: "GET /g/{id}", policy: cache-aside, ttl: 1h, tags: ["%s"]}
`

// generation is the tag that the configuration in force has, as the program shows it.
func (p *process) generation(t testing.TB, fields ...string) string {
	t.Helper()
	routes := get(t, p.admin+"/config", fields...).fields(t)["routes"].([]any)
	for _, r := range routes {
		if r := r.(map[string]any); r["name"] == "generation" {
			return r["tags"].([]any)[0].(string)
		}
	}
	return ""
}

func (p *process) reaches(t testing.TB, generation string) {
	t.Helper()
	eventually(t, "configuration "+generation+" is in force", func() bool { return p.generation(t) == generation })
}

// says waits for a log line that has all the texts.
func (p *process) says(t testing.TB, texts ...string) string {
	t.Helper()
	return p.line(t, strings.Join(texts, " "), func(line string) bool {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				return false
			}
		}
		return true
	})
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// number is a metric's value.
func number(t testing.TB, p *process, name string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(metric(t, p, name), 64)
	if err != nil {
		t.Fatalf("metric %s: %v", name, err)
	}
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// However a file changes, the change is in force soon, and copies of routes that stay are served on.
func TestReloadOnChange(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "cacheproxy.yaml")
	put(t, file, fmt.Sprintf(reloadConfig, o.url, "start"))
	p := serve(t, "--config", file)
	wantHit(t, p.data+"/kept/1", false)
	for _, c := range []struct {
		how    string
		change func(text string)
	}{
		{"written", func(text string) { put(t, file, text) }},
		{"replaced", func(text string) { // as editors do
			put(t, file+".new", text)
			must(t, os.Rename(file+".new", file))
		}},
		{"moved-away", func(text string) { // as others do
			must(t, os.Rename(file, file+"~"))
			put(t, file, text)
		}},
		{"recreated", func(text string) {
			must(t, os.Remove(file))
			p.says(t, `"msg":"configuration refused`, "no such file")
			put(t, file, text)
		}},
		{"in-pieces", func(text string) {
			half := len(text) / 2
			put(t, file, text[:half])
			put(t, file, text)
		}},
		{"folder-replaced", func(text string) {
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.Mkdir(dir, 0o700))
			put(t, file, text)
		}},
		{"again", func(text string) { put(t, file, text) }},
	} {
		c.change(fmt.Sprintf(reloadConfig, o.url, c.how))
		p.reaches(t, c.how)
		wantHit(t, p.data+"/kept/1", true)
	}
	if n := o.count("GET /kept/1"); n != 1 {
		t.Errorf("the origin was asked %d times for what was cached", n)
	}
	if v := number(t, p, "cacheproxy_config_reload_success"); v != 1 {
		t.Errorf("cacheproxy_config_reload_success %v", v)
	}
	p.stop(t, patience)
}

// A volume of Kubernetes changes by one link from which everything else hangs.
func TestReloadOfMountedVolume(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := t.TempDir()
	publish := func(name, generation string) {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		put(t, filepath.Join(dir, name, "config.yaml"), fmt.Sprintf(reloadConfig, o.url, generation))
		must(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	publish("..2026_01", "one")
	file := filepath.Join(dir, "config.yaml")
	must(t, os.Symlink("..data/config.yaml", file))
	p := serve(t, "--config", file)
	for n, generation := range []string{"two", "three", "four"} {
		publish(fmt.Sprint("..2026_02_", n), generation)
		must(t, os.RemoveAll(filepath.Join(dir, "..2026_01")))
		p.reaches(t, generation)
	}
	p.stop(t, patience)
}

// The operator asks: by a signal, by a call, by the command.
func TestReloadOnRequest(t *testing.T) {
	o := newOrigin(t)
	file := writeFile(t, "cacheproxy.yaml", fmt.Sprintf(reloadConfig, o.url, "one"))
	p := serve(t, "--config", file)
	p.signal(t, syscall.SIGHUP)
	p.says(t, `"by":"SIGHUP"`)
	put(t, file, fmt.Sprintf(reloadConfig, o.url, "two")+"h2c: true\nlisten: 127.0.0.1:1\n")
	a := call(t, http.MethodPost, p.admin+"/reload", "")
	if a.status != http.StatusOK || p.generation(t) != "two" {
		t.Errorf("POST /reload: %d %s, then %s", a.status, a.body, p.generation(t))
	}
	// The flag wins over listen.
	if got := fmt.Sprint(a.fields(t)["restart"]); got != "[h2c]" {
		t.Errorf("what waits for a restart: %s", got)
	}
	if got := fmt.Sprint(get(t, p.admin+"/config").fields(t)["waits_for_restart"]); got != "map[h2c:true]" {
		t.Errorf("GET /config: %s", got)
	}
	p.says(t, "wait for a restart", "h2c")
	put(t, file, fmt.Sprintf(reloadConfig, o.url, "three"))
	r := run(t, nil, "reload", "--admin", p.admin)
	if r.status != 0 || p.generation(t) != "three" {
		t.Errorf("reload: status %d %q %q", r.status, r.out, r.err)
	}
	if r = run(t, nil, "reload", "--admin", p.admin); r.status != 0 || !strings.HasPrefix(r.out, "nothing has changed: the file is in force since 2") {
		t.Errorf("reload without a change: status %d %q %q", r.status, r.out, r.err)
	}
	p.stop(t, patience)
}

// A file that is wrong changes nothing, and everybody who asks is told where.
func TestReloadOfBadFile(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	file := writeFile(t, "cacheproxy.yaml", fmt.Sprintf(reloadConfig, o.url, "good"))
	p := serve(t, "--config", file)
	at := number(t, p, "cacheproxy_config_last_reload_success_timestamp_seconds")
	wantHit(t, p.data+"/g/1", false)
	put(t, file, fmt.Sprintf(reloadConfig, o.url, "bad")+"lisen: :80\ndrain_delay: soon\n")
	problems := []string{file + ":7: lisen: unknown key; did you mean listen?", file + ":8: drain_delay: duplicate key"}
	p.says(t, "configuration refused", problems[0], problems[1])
	eventually(t, "the metric tells", func() bool { return number(t, p, "cacheproxy_config_reload_success") == 0 })
	a := call(t, http.MethodPost, p.admin+"/reload", "")
	if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, problems[0]) || !strings.Contains(a.body, problems[1]) {
		t.Errorf("POST /reload: %d %s", a.status, a.body)
	}
	r := run(t, nil, "reload", "--admin", p.admin)
	if r.status != 1 || !strings.Contains(r.err, problems[0]) || !strings.Contains(r.err, "stays in force") {
		t.Errorf("reload: status %d %q", r.status, r.err)
	}
	if got := fmt.Sprint(get(t, p.admin+"/config").fields(t)["refused"]); !strings.Contains(got, problems[0]) {
		t.Errorf("GET /config: refused %s", got)
	}
	if got := p.generation(t); got != "good" {
		t.Errorf("in force: %s", got)
	}
	wantHit(t, p.data+"/g/1", true)
	put(t, file, fmt.Sprintf(reloadConfig, o.url, "mended"))
	p.reaches(t, "mended")
	if number(t, p, "cacheproxy_config_reload_success") != 1 || number(t, p, "cacheproxy_config_last_reload_success_timestamp_seconds") < at {
		t.Error("the metrics do not tell that it is well again")
	}
	p.stop(t, patience)
}

// Tokens rotate when their file does, even while the configuration itself is broken and nobody has noticed.
func TestReloadOfSecrets(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := t.TempDir()
	file, secret := filepath.Join(dir, "cacheproxy.yaml"), filepath.Join(t.TempDir(), "token")
	text := fmt.Sprintf(reloadConfig, o.url, "one") + fmt.Sprintf("admin: {tokens: [{name: sre, token: \"${file:%s}\", allow: [all]}]}\n", secret)
	put(t, secret, "first-token-0123\n")
	put(t, file, text)
	p := serve(t, "--config", file)
	bearer := func(token string) string { return "Authorization: Bearer " + token }
	accepts := func(token string) bool { return get(t, p.admin+"/config", bearer(token)).status == http.StatusOK }
	if !accepts("first-token-0123") {
		t.Fatal("the token is not accepted")
	}
	put(t, secret, "second-token-0123\n")
	eventually(t, "the second token is in force", func() bool { return accepts("second-token-0123") })
	if accepts("first-token-0123") {
		t.Error("the first token is still accepted")
	}
	put(t, file, "broken")
	p.says(t, "configuration refused")
	put(t, secret, "third-token-0123\n")
	eventually(t, "the third token is in force", func() bool { return accepts("third-token-0123") })
	if p.generation(t, bearer("third-token-0123")) != "one" || number(t, p, "cacheproxy_config_reload_success") != 0 {
		t.Error("the broken configuration is in force, or is said to be")
	}
	p.stop(t, patience)
}

// How the process ends is what the configuration says then, not what it said at the start.
func TestReloadBeforeExit(t *testing.T) {
	arrived := make(chan struct{})
	release := make(chan struct{})
	url := newServer(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	})
	t.Cleanup(func() { close(release) })
	text := "upstreams: [{name: origin, url: %q, timeout: 1h}]\ndrain_delay: %s\nshutdown_timeout: %s\n"
	file := writeFile(t, "cacheproxy.yaml", fmt.Sprintf(text, url, "1h", "1h"))
	p := serve(t, "--config", file)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = tryCall(http.MethodGet, p.data+"/hangs", "")
	}()
	<-arrived
	put(t, file, fmt.Sprintf(text, url, "0s", "10ms"))
	if r := run(t, nil, "reload", "--admin", p.admin); r.status != 0 {
		t.Errorf("reload: %d %q", r.status, r.err)
	}
	p.signal(t, syscall.SIGTERM)
	p.exit(t, patience)
	<-done
}
