package house

import (
	"encoding/json"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// platforms are those whose binaries decide what the program needs: some libraries are linked for one of them only.
var platforms = []string{"linux", "darwin", "windows"}

// What the program's module requires is what a binary is made of, tools aside: whoever builds or audits the program reads no
// library in go.mod that only tests use. Nor does it replace any, which `go install MODULE/cmd/cacheproxy@VERSION` refuses.
func TestModuleRequiresWhatTheBinaryLinks(t *testing.T) {
	root := findRoot(t)
	var mod struct {
		Require []struct{ Path string }
		Replace []struct{ Old struct{ Path string } }
	}
	if err := json.Unmarshal([]byte(goCommand(t, root, "", "mod", "edit", "-json")), &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Replace {
		t.Errorf("go.mod replaces %s: with that, go install refuses the module", r.Old.Path)
	}
	tools := modulesOf(t, root, "", "tool")
	var linked []string
	for _, system := range platforms {
		linked = append(linked, modulesOf(t, root, system, "./cmd/cacheproxy")...)
	}
	if len(mod.Require) < 10 || len(linked) < 10 {
		t.Fatalf("%d modules are required, %d linked: the rule looks in the wrong place", len(mod.Require), len(linked))
	}
	for _, r := range mod.Require {
		if !slices.Contains(linked, r.Path) && !slices.Contains(tools, r.Path) {
			t.Errorf("go.mod requires %s, which no binary of cmd/cacheproxy links: move what imports it to test/system", r.Path)
		}
	}
}

// The other modules are named below this one, which lets them import what is internal to it, and stand beside it, not in
// place of a released version.
func TestModulesOfTests(t *testing.T) {
	root := findRoot(t)
	for _, folder := range []string{"test/system", "test/deploy"} {
		if got, want := strings.TrimSpace(goCommand(t, path.Join(root, folder), "", "list", "-m")), module+"/"+folder; got != want {
			t.Errorf("module in %s is %s, want %s", folder, got, want)
		}
	}
	if got := strings.TrimSpace(goCommand(t, path.Join(root, "test/system"), "", "list", "-m", "-f", "{{.Dir}}", module)); got != root {
		t.Errorf("test/system tests the module in %s, want the one in %s", got, root)
	}
}

// modulesOf lists the modules whose packages a package of the module is made of.
func modulesOf(t *testing.T, root, system, pattern string) []string {
	t.Helper()
	found := strings.Fields(goCommand(t, root, system, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", pattern))
	slices.Sort(found)
	return slices.Compact(found)
}

func goCommand(t *testing.T, folder, system string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = folder
	cmd.Env = cmd.Environ()
	if system != "" {
		cmd.Env = append(cmd.Env, "GOOS="+system, "CGO_ENABLED=0")
	}
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v in %s: %v\n%s", cmd.Args, folder, err, problems.String())
	}
	return string(out)
}
