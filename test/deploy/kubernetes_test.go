package deploy

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	disruption "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kinds are the types that manifests have to fit, without a field more.
var kinds = map[string]func() any{
	"ConfigMap":           func() any { return new(core.ConfigMap) },
	"StatefulSet":         func() any { return new(apps.StatefulSet) },
	"Deployment":          func() any { return new(apps.Deployment) },
	"NetworkPolicy":       func() any { return new(networking.NetworkPolicy) },
	"PodDisruptionBudget": func() any { return new(disruption.PodDisruptionBudget) },
	"PodMonitor":          func() any { return new(monitoring.PodMonitor) },
	"Secret":              func() any { return new(core.Secret) },
	"Service":             func() any { return new(core.Service) },
}

// certificateCommand is how the manifests say that the certificate of Valkey is made.
func certificateCommand(t *testing.T) string {
	t.Helper()
	optional(t, "openssl", "openssl")
	_, rest, found := strings.Cut(read(t, "deploy/kubernetes-valkey/kustomization.yaml"), "#   openssl req ")
	command, _, closed := strings.Cut(rest, "#   kubectl")
	if !found || !closed {
		t.Fatal("nothing says how the certificate is made")
	}
	return "openssl req " + strings.ReplaceAll(command, "#", "")
}

// build is what `kubectl apply -k` would send, decoded, by kind and name.
func build(t *testing.T, folder string) map[string]any {
	t.Helper()
	all := t.TempDir() // one folder may build on another
	if err := os.CopyFS(all, os.DirFS(filepath.Join(root, "deploy"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kubernetes/tokens/sre", "kubernetes/tokens/cms", "kubernetes-valkey/tokens/valkey"} {
		write(t, filepath.Join(all, name), filepath.Base(name)+token)
	}
	certificate := exec.Command("bash", "-ec", certificateCommand(t))
	certificate.Dir = filepath.Join(all, "kubernetes-valkey")
	if out, err := certificate.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	from := filepath.Join(all, strings.TrimPrefix(folder, "deploy/"))
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), from)
	if err != nil {
		t.Fatal(err)
	}
	resources := map[string]any{}
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		make := kinds[r.GetKind()]
		if make == nil {
			t.Fatalf("no schema for %s", r.GetKind())
		}
		into := make()
		if err := yaml.UnmarshalStrict(text, into); err != nil {
			t.Errorf("%s %s: %v", r.GetKind(), r.GetName(), err)
		}
		resources[r.GetKind()+"/"+r.GetName()] = into
	}
	return resources
}

func TestKubernetes(t *testing.T) {
	all := build(t, "deploy/kubernetes")
	deployment := all["Deployment/api"].(*apps.Deployment)
	pod := deployment.Spec.Template
	for name, selector := range map[string]map[string]string{
		"Deployment":          deployment.Spec.Selector.MatchLabels,
		"Service":             all["Service/api"].(*core.Service).Spec.Selector,
		"Service admin":       all["Service/cacheproxy-admin"].(*core.Service).Spec.Selector,
		"PodDisruptionBudget": all["PodDisruptionBudget/api"].(*disruption.PodDisruptionBudget).Spec.Selector.MatchLabels,
		"NetworkPolicy":       all["NetworkPolicy/api"].(*networking.NetworkPolicy).Spec.PodSelector.MatchLabels,
		"PodMonitor":          build(t, "deploy/kubernetes/monitoring")["PodMonitor/cacheproxy"].(*monitoring.PodMonitor).Spec.Selector.MatchLabels,
	} {
		for key, value := range selector {
			if len(selector) == 0 || pod.Labels[key] != value {
				t.Errorf("%s selects %v, and the pod has %v", name, selector, pod.Labels)
			}
		}
	}
	ports := map[string]int32{}
	for _, c := range pod.Spec.Containers {
		restricted(t, pod.Spec, c)
		for _, p := range c.Ports {
			ports[p.Name] = p.ContainerPort
		}
		if c.ReadinessProbe == nil || ports[c.ReadinessProbe.HTTPGet.Port.StrVal] == 0 {
			t.Errorf("container %s: readiness probe %v", c.Name, c.ReadinessProbe)
		}
	}
	for _, name := range []string{"Service/api", "Service/cacheproxy-admin"} {
		for _, p := range all[name].(*core.Service).Spec.Ports {
			if ports[p.TargetPort.StrVal] == 0 {
				t.Errorf("%s sends to port %v, and the pod has %v", name, p.TargetPort, ports)
			}
		}
	}
	drain(t, pod.Spec)
}

// The job of each fleet is its own, and is one that the alert rules are for.
func TestPodMonitorNamesTheFleet(t *testing.T) {
	monitor := build(t, "deploy/kubernetes/monitoring")["PodMonitor/cacheproxy"].(*monitoring.PodMonitor)
	selected := maps.Keys(monitor.Spec.Selector.MatchLabels)
	for _, r := range monitor.Spec.PodMetricsEndpoints[0].RelabelConfigs {
		if r.TargetLabel != "job" {
			continue
		}
		var from []string
		for _, source := range r.SourceLabels {
			from = append(from, string(source))
		}
		for label := range selected {
			if !slices.Contains(from, "__meta_kubernetes_pod_label_"+strings.NewReplacer(".", "_", "/", "_").Replace(label)) {
				t.Errorf("the job is made of %v, and pods are selected by %s", from, label)
			}
		}
		if !slices.Contains(from, "__meta_kubernetes_namespace") || r.Replacement == nil || !strings.HasPrefix(*r.Replacement, "cacheproxy/$1") || r.Regex != "" {
			t.Errorf("the job is made of %v as %v", from, r.Replacement)
		}
		return
	}
	t.Error("the job is not named")
}

// restricted holds a container against the restricted Pod Security Standard, and a root file system that is read-only.
func restricted(t *testing.T, pod core.PodSpec, c core.Container) {
	t.Helper()
	s := c.SecurityContext
	switch {
	case s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation,
		s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem,
		s.Capabilities == nil || fmt.Sprint(s.Capabilities.Drop) != "[ALL]" || len(s.Capabilities.Add) > 0,
		pod.SecurityContext.RunAsNonRoot == nil || !*pod.SecurityContext.RunAsNonRoot,
		pod.SecurityContext.SeccompProfile == nil || pod.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault:
		t.Errorf("container %s is not restricted: %+v, %+v", c.Name, s, pod.SecurityContext)
	}
	if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Memory().Cmp(*c.Resources.Limits.Memory()) != 0 {
		t.Errorf("container %s: memory %v", c.Name, c.Resources)
	}
}

// drain holds the times of the pod's end against each other: the API outlasts the proxy's drain, and the pod both.
func drain(t *testing.T, pod core.PodSpec) {
	t.Helper()
	var config struct {
		DrainDelay      string `json:"drain_delay"`
		ShutdownTimeout string `json:"shutdown_timeout"`
		Upstreams       []struct{ Timeout string }
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/kubernetes/cacheproxy.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	delay, finish, timeout := duration(t, config.DrainDelay), duration(t, config.ShutdownTimeout), duration(t, config.Upstreams[0].Timeout)
	stays := time.Duration(pod.Containers[1].Lifecycle.PreStop.Sleep.Seconds) * time.Second
	if stays < delay+timeout {
		t.Errorf("the API stays for %v, and the proxy needs it for %v", stays, delay+timeout)
	}
	if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace < delay+finish {
		t.Errorf("the pod is killed after %v, and the proxy needs %v", grace, delay+finish)
	}
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The configuration of the ConfigMap runs with the tokens of the Secret where they are mounted, and the probes and calls
// of the manifests get the answers that they expect.
func TestKubernetesConfiguration(t *testing.T) {
	all := build(t, "deploy/kubernetes")
	config, secret := all["ConfigMap/cacheproxy"].(*core.ConfigMap), all["Secret/cacheproxy-admin"].(*core.Secret)
	if len(config.Data) != 1 || config.Data["config.yaml"] != read(t, "deploy/kubernetes/cacheproxy.yaml") {
		t.Errorf("the ConfigMap has %d files", len(config.Data))
	}
	proxy := all["Deployment/api"].(*apps.Deployment).Spec.Template.Spec.Containers[0]
	mounted := t.TempDir()
	for name, value := range secret.Data {
		write(t, filepath.Join(mounted, name), string(value))
	}
	p := serveFile(t, checked(t, "deploy/kubernetes/cacheproxy.yaml", proxy.VolumeMounts[1].MountPath, mounted, "http://127.0.0.1:9000", api(t)))
	for _, probe := range []*core.Probe{proxy.ReadinessProbe, proxy.LivenessProbe} {
		if status, _, body := get(t, p.admin+probe.HTTPGet.Path); status != 200 {
			t.Errorf("%s: %d %s", probe.HTTPGet.Path, status, body)
		}
	}
	if status, _, _ := get(t, p.admin+"/config"); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	if status, _, body := get(t, p.admin+"/config", "Authorization", "Bearer sre"+token); status != 200 {
		t.Errorf("with the token: %d %s", status, body)
	}
}

// The pods that share a Valkey find it as it is started, with its password, and check has nothing to say against it.
func TestKubernetesValkey(t *testing.T) {
	all := build(t, "deploy/kubernetes-valkey")
	server, pods := all["StatefulSet/valkey"].(*apps.StatefulSet).Spec.Template, all["Deployment/api"].(*apps.Deployment)
	restricted(t, server.Spec, server.Spec.Containers[0])
	if *pods.Spec.Replicas < 2 {
		t.Errorf("%d pods share it", *pods.Spec.Replicas)
	}
	for name, selector := range map[string]map[string]string{
		"Service":       all["Service/valkey"].(*core.Service).Spec.Selector,
		"NetworkPolicy": all["NetworkPolicy/valkey"].(*networking.NetworkPolicy).Spec.PodSelector.MatchLabels,
		"StatefulSet":   all["StatefulSet/valkey"].(*apps.StatefulSet).Spec.Selector.MatchLabels,
	} {
		if len(selector) == 0 || selector["app.kubernetes.io/name"] != server.Labels["app.kubernetes.io/name"] {
			t.Errorf("%s selects %v", name, selector)
		}
	}
	from := all["NetworkPolicy/valkey"].(*networking.NetworkPolicy).Spec.Ingress[0].From[0].PodSelector.MatchLabels
	if name := "app.kubernetes.io/name"; from[name] == "" || from[name] != pods.Spec.Template.Labels[name] {
		t.Errorf("let in: %v", from)
	}
	password := string(all["Secret/cacheproxy-valkey"].(*core.Secret).Data["password"])
	mounted := t.TempDir()
	for name, content := range all["Secret/cacheproxy-valkey-tls"].(*core.Secret).Data {
		write(t, filepath.Join(mounted, name), string(content))
	}
	args := server.Spec.Containers[0].Args[1:]
	for i, arg := range args {
		args[i] = strings.NewReplacer("$(VALKEY_PASSWORD)", password, "/run/secrets/valkey", mounted).Replace(arg)
	}
	_, documented, _ := strings.Cut(read(t, "docs/fleet.md"), "user cacheproxy on >PASSWORD ")
	documented, _, _ = strings.Cut(documented, "`")
	documented = strings.ReplaceAll(strings.Join(strings.Fields(documented), " "), "shop", "api")
	if _, shipped, _ := strings.Cut(strings.Join(args, " "), ">"+password+" "); shipped != documented {
		t.Errorf("docs/fleet.md grants %s, and the manifest %s", documented, shipped)
	}
	address := valkey(t, append(args, "--user", "auditor", "on", ">"+token, "+@all", "~*", "&*")...)
	env := []string{"CACHEPROXY_VALKEY_TLS_SERVER_NAME=valkey", "CACHEPROXY_VALKEY_LEASE=1s"}
	for _, v := range pods.Spec.Template.Spec.Containers[0].Env {
		value := strings.NewReplacer("valkey:6379", address, "/run/secrets/valkey", mounted).Replace(v.Value)
		switch from := v.ValueFrom; {
		case from == nil:
		case from.SecretKeyRef != nil && from.SecretKeyRef.Name == "cacheproxy-valkey" && from.SecretKeyRef.Key == "password":
			value = password
		case from.FieldRef != nil:
			value = "api-0"
		}
		env = append(env, v.Name+"="+value)
	}
	file := write(t, filepath.Join(t.TempDir(), "config.yaml"), strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(read(t, "deploy/kubernetes/cacheproxy.yaml"),
		"${file:/run/secrets/cacheproxy/sre}", "sre"+token), "${file:/run/secrets/cacheproxy/cms}", "cms"+token), "http://127.0.0.1:9000", api(t)))
	live := exec.Command(program, "check", "--live", file)
	live.Env = environment(env...)
	if said := run(t, live); strings.Contains(said, "warning:") || !strings.Contains(said, "may do all that the proxy does") || !strings.Contains(said, address) {
		t.Errorf("check --live: %s", said)
	}
	refused := refusals(t, address)
	if strings.TrimSpace(strings.ReplaceAll(refused, "config|get", "")) != "" { // what CONFIG would say, INFO says too
		t.Errorf("check --live was refused %s", refused)
	}
	// What pods say to the server while they serve, purge and set a mode is allowed, too.
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	file = write(t, filepath.Join(t.TempDir(), "config.yaml"), strings.NewReplacer("mode: observe", "mode: on", "http://127.0.0.1:9000", api(t)).Replace(string(content)))
	var last running
	for range 2 {
		pod := exec.Command(program, append([]string{"serve", "--config", file}, anyPorts...)...)
		pod.Dir, pod.Env = t.TempDir(), environment(env...)
		last = serve(t, pod)
	}
	for range 2 {
		if status, _, body := get(t, last.data+"/products/1"); status != 200 {
			t.Errorf("product: %d %s", status, body)
		}
	}
	for path, order := range map[string]string{"/purge": `{"keys":["v2:product:1"]}`, "/routes/product/mode": `{"mode":"off"}`} {
		request, err := http.NewRequest(http.MethodPost, last.admin+path, strings.NewReader(order))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer sre"+token)
		request.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	if now := refusals(t, address); now != refused {
		t.Errorf("pods were refused %s", now)
	}
}

// refusals are the commands that the server has refused to somebody, for want of rights.
func refusals(t *testing.T, address string) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	log := run(t, exec.Command(optional(t, "valkey-cli", "valkey-tools"), "-p", port, "--tls", "--insecure", "--user", "auditor", "--pass", token, "--no-auth-warning", "ACL", "LOG"))
	var refused []string
	lines := strings.Split(log, "\n")
	for i, line := range lines {
		if line == "object" && i+1 < len(lines) {
			refused = append(refused, lines[i+1])
		}
	}
	return strings.Join(refused, " ")
}

func TestManifestsAreDecodedStrictly(t *testing.T) {
	if err := yaml.UnmarshalStrict([]byte("kind: Service\nspec: {port: 1}\n"), new(core.Service)); err == nil {
		t.Error("a field that does not exist is accepted")
	}
}
