package main

import (
	"bytes"
	"flag"
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
	if !strings.HasPrefix(got, "../../config.example.yaml is valid: 1 upstream, 8 routes, 3 warnings\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestCheckMissingFile(t *testing.T) {
	got := runCheck("none.yaml")
	if got != "error: read configuration: open none.yaml: no such file or directory\n" {
		t.Errorf("got: %s", got)
	}
}
