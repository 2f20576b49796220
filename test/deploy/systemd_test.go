package deploy

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// maxExposure is what `systemd-analyze security` may find, from 0 to 10.
const maxExposure = 1.5

// units are the shipped units, with the program where it was built.
func units(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, name := range []string{"cacheproxy.service", "cacheproxy.socket"} {
		text := strings.ReplaceAll(read(t, "deploy/systemd/"+name), "/usr/local/bin/cacheproxy", program)
		write(t, filepath.Join(folder, name), text)
	}
	return folder
}

func TestUnits(t *testing.T) {
	analyze := optional(t, "systemd-analyze", "systemd")
	folder := units(t)
	cmd := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", filepath.Join(folder, "cacheproxy.service"), filepath.Join(folder, "cacheproxy.socket"))
	cmd.Env = environment("SYSTEMD_UNIT_PATH=" + folder + ":")
	out, err := output(cmd)
	if err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

func TestUnitIsHardened(t *testing.T) {
	analyze := optional(t, "systemd-analyze", "systemd")
	if help, err := output(exec.Command(analyze, "--help")); err != nil || !strings.Contains(help, "--offline") {
		t.Skip("not checked: systemd is older than 250")
	}
	out := run(t, exec.Command(analyze, "security", "--offline=true", "--no-pager", filepath.Join(units(t), "cacheproxy.service")))
	found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no exposure level in:\n%s", out)
	}
	if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > maxExposure {
		t.Errorf("exposure level %v, and %v is allowed:\n%s", level, maxExposure, out)
	}
}

// The unit's configuration runs with the credential where systemd puts it.
func TestUnitConfiguration(t *testing.T) {
	unit := read(t, "deploy/systemd/cacheproxy.service")
	credential := regexp.MustCompile(`(?m)^LoadCredential=([^:]+):`).FindStringSubmatch(unit)
	if credential == nil {
		t.Fatal("the unit loads no credential")
	}
	folder := t.TempDir()
	write(t, filepath.Join(folder, credential[1]), token)
	p := serveFile(t, checked(t, "deploy/systemd/cacheproxy.yaml", "/run/credentials/cacheproxy.service", folder, "http://127.0.0.1:9000", api(t)))
	if status, _, _ := get(t, p.admin+"/config"); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	if status, _, body := get(t, p.admin+"/config", "Authorization", "Bearer "+token); status != 200 {
		t.Errorf("with the credential: %d %s", status, body)
	}
}

// Clients of kept connections are told to close them before a process ends, and systemd waits for that.
func TestUnitDrains(t *testing.T) {
	var config struct {
		DrainDelay      string `json:"drain_delay"`
		ShutdownTimeout string `json:"shutdown_timeout"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/systemd/cacheproxy.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	if config.ShutdownTimeout == "" {
		config.ShutdownTimeout = "30s" // by default
	}
	delay, finish := duration(t, config.DrainDelay), duration(t, config.ShutdownTimeout)
	if delay < 2*time.Second {
		t.Errorf("connections close after %v, unannounced", delay)
	}
	stop := regexp.MustCompile(`(?m)^TimeoutStopSec=(.+)$`).FindStringSubmatch(read(t, "deploy/systemd/cacheproxy.service"))
	if stop == nil || duration(t, stop[1]) < delay+finish {
		t.Errorf("systemd waits for %v, and the proxy needs %v", stop, delay+finish)
	}
}
