package main

import (
	"bytes"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cacheproxy/test/certificates"
)

var updateCheck = flag.Bool("update-check", false, "write what check prints into testdata/check/*.txt")

// Each file in testdata/check has the output of check beside it: what goes to the output, the error output, the error.
func TestCheck(t *testing.T) {
	t.Chdir("testdata/check")
	dir, authority := t.TempDir(), certificates.NewAuthority(t, "authority")
	authority.Write(dir, "shop.example", "shop.example")
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_CERTIFICATES", dir)
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			got := expiry.ReplaceAllString(runCheck(file), "until DATE")
			if *updateCheck {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

var expiry = regexp.MustCompile(`until \d{4}-\d\d-\d\d`)

func runCheck(args ...string) string {
	var out, errOut bytes.Buffer
	cmd := checkCommand()
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	cmd.SetArgs(args)
	text := ""
	if err := cmd.Execute(); err != nil {
		text = "error: " + err.Error() + "\n"
	}
	return out.String() + errOut.String() + text
}

func TestCheckExample(t *testing.T) {
	got := runCheck("../../config.example.yaml")
	if !strings.HasPrefix(got, "../../config.example.yaml is valid: 1 upstream, 9 routes, 3 warnings\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestCheckMissingFile(t *testing.T) {
	got := runCheck("none.yaml")
	if got != "error: read configuration: open none.yaml: no such file or directory\n" {
		t.Errorf("got: %s", got)
	}
}

// A pipeline has no secrets: with --without-secrets it checks all the rest, and says what it did not.
func TestCheckWithoutSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	err := os.WriteFile(file, []byte(`
listen: 127.0.0.1:8443
tls: {cert: /nowhere/cert.pem, key: /nowhere/key.pem}
admin: {tokens: [{name: sre, token: "${file:/nowhere/token}", allow: [all]}, {name: cms, token: "${TEST_NOT_SET}", allow: [purge]}]}
valkey: {url: "valkey://127.0.0.1:6379", password: "${TEST_NOT_SET_EITHER}", secrets: ["${file:/nowhere/secret}"], signatures: require}
upstreams: [{name: api, url: "https://127.0.0.1:9000", max_in_flight: 64, ca: /nowhere/ca.pem}]
routes: [{name: all, match: /, policy: cache-aside, ttl: 1m}]
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	got := runCheck("--without-secrets", file)
	for _, want := range []string{
		"is valid: 1 upstream, 1 route, 7 warnings", `c.yaml:3: tls.cert: names /nowhere/cert.pem, which is not there, and was not checked`,
		`"${file:/nowhere/token}" is not there`, `"${TEST_NOT_SET}" is not there`, "upstreams[0].ca",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
	if got := runCheck(file); !strings.Contains(got, "is not valid: ") {
		t.Errorf("with secrets:\n%s", got)
	}
}

// With --live, the addresses of upstreams are asked as well.
func TestCheckAsksUpstreams(t *testing.T) {
	healthy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer healthy.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	file := filepath.Join(t.TempDir(), "c.yaml")
	err := os.WriteFile(file, []byte(`
upstreams:
  - {name: asked, url: "`+healthy.URL+`", health: {path: /ready}}
  - {name: sick, url: "`+healthy.URL+`", health: {path: /sick}}
  - {name: met, url: "`+healthy.URL+`"}
  - {name: gone, url: "`+gone.URL+`"}
routes: [{name: all, match: /, upstream: met, policy: cache-aside, ttl: 1m}]
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	got := runCheck("--live", file)
	for _, want := range []string{"upstream asked", "answers /ready", "upstream sick: 127.0.0.1:", "503", "can be connected to", "upstream gone: 127.0.0.1:", "connection refused", "does not fit its servers: 2 problems"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
}
