package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"
)

const composeFile = "deploy/compose/compose.yaml"

func composed(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join(root, filepath.Dir(composeFile)))
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: folder, ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(folder, "compose.yaml")}},
	}, func(o *loader.Options) { o.Profiles = profiles })
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestCompose(t *testing.T) {
	project := composed(t)
	if got, want := project.ServiceNames(), []string{"cacheproxy", "cacheproxy-2", "grafana", "postgres", "prometheus", "shop", "valkey"}; !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %v to everybody", name, p)
			}
		}
		if s.Build != nil {
			if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if !strings.Contains(s.Image, ":") {
			t.Errorf("%s: image %s without a version", name, s.Image)
		}
	}
	published := map[string]string{}
	for _, name := range []string{"cacheproxy", "cacheproxy-2"} {
		s := project.Services[name]
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) {
			t.Errorf("the container %s can be written to, or has capabilities", name)
		}
		for _, p := range s.Ports {
			if other := published[p.Published]; other != "" {
				t.Errorf("%s and %s publish port %s", other, name, p.Published)
			}
			published[p.Published] = name
		}
	}
}

// The proxy's configuration runs with the token of the compose file, and its addresses are those of the services.
func TestComposeConfiguration(t *testing.T) {
	project := composed(t)
	if *project.Services["cacheproxy"].Environment["CACHEPROXY_ADMIN_TOKEN"] == "" {
		t.Error("no token")
	}
	checked(t, "deploy/compose/cacheproxy.yaml")
	shop := project.Services["shop"]
	if want := "http://shop" + shop.Command[slices.Index(shop.Command, "--listen")+1]; !strings.Contains(read(t, "deploy/compose/cacheproxy.yaml"), want) {
		t.Errorf("the proxy does not ask %s", want)
	}
	var scrape struct {
		ScrapeConfigs []struct {
			JobName       string                       `json:"job_name"`
			StaticConfigs []struct{ Targets []string } `json:"static_configs"`
		} `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/compose/prometheus.yml")), &scrape); err != nil {
		t.Fatal(err)
	}
	if targets := scrape.ScrapeConfigs[0].StaticConfigs[0].Targets; !slices.Equal(targets, []string{"cacheproxy:8081", "cacheproxy-2:8081"}) || !strings.Contains(read(t, "deploy/compose/cacheproxy.yaml"), "listen: :8081") {
		t.Errorf("Prometheus asks %s", targets)
	}
}

// The proxies' configuration works with a server that is started as the compose file says, and check has nothing to say
// against it.
func TestComposeValkey(t *testing.T) {
	service := composed(t).Services["valkey"]
	config := read(t, "deploy/compose/cacheproxy.yaml")
	const written = "valkey://valkey:6379"
	if !strings.Contains(config, written) {
		t.Fatalf("the configuration does not name %s", written)
	}
	file := checked(t, "deploy/compose/cacheproxy.yaml", written, "valkey://"+valkey(t, service.Command[1:]...), "http://shop:9000", api(t))
	live := exec.Command(program, "check", "--live", file)
	live.Env = environment("CACHEPROXY_ADMIN_TOKEN=" + token)
	if said := run(t, live); strings.Contains(said, "warning:") || !strings.Contains(said, "may do all that the proxy does") {
		t.Errorf("check --live: %s", said)
	}
}

// Grafana finds the dashboard and what it shows.
func TestComposeGrafana(t *testing.T) {
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/compose/grafana/dashboards/cacheproxy.yaml")), &providers); err != nil {
		t.Fatal(err)
	}
	mounted := func(target string) bool {
		return slices.ContainsFunc(composed(t).Services["grafana"].Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == target })
	}
	if path := providers.Providers[0].Options.Path + "/cacheproxy.json"; !mounted(path) {
		t.Errorf("no dashboard at %s", path)
	}
	for _, folder := range []string{"datasources", "dashboards"} {
		if !mounted("/etc/grafana/provisioning/" + folder) {
			t.Errorf("no %s", folder)
		}
	}
}
