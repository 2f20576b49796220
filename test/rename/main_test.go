package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const renamed = "example.org/x/cacheproxy"

// A copy of the project under another path builds, passes vet and the rules of the house, in every module, and can be renamed
// once more.
func TestRename(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	dir := copyProject(t)
	if out, err := in(t, dir, "make", "rename", "MODULE="+renamed); err != nil || !strings.Contains(out, "the module is "+renamed+" now") {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, module := range []string{".", "test/system", "test/deploy"} {
		folder := filepath.Join(dir, module)
		if out, err := in(t, folder, "go", "list", "-m"); err != nil || strings.TrimSpace(out) != strings.TrimSuffix(renamed+"/"+module, "/.") {
			t.Errorf("module in %s: %v\n%s", module, err, out)
		}
		if module == "test/deploy" {
			continue // it imports nothing of the others
		}
		if out, err := in(t, folder, "go", "vet", "./..."); err != nil {
			t.Errorf("go vet in %s: %v\n%s", module, err, out)
		}
	}
	program := filepath.Join(t.TempDir(), "cacheproxy")
	if out, err := in(t, dir, "go", "build", "-o", program, renamed+"/cmd/cacheproxy"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := in(t, dir, program, "check", "config.example.yaml"); !strings.Contains(out, "config.example.yaml is valid") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := in(t, dir, "go", "test", "./test/house"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := in(t, dir, "make", "rename", "MODULE="+renamed); err == nil || !strings.Contains(out, "the module is "+renamed+" already: there is nothing to rename") {
		t.Errorf("the same path again: %v\n%s", err, out)
	}
	const next = "example.net/y.z"
	if n, err := rename(dir, next); err != nil || n == 0 {
		t.Fatalf("another path: %d files, %v", n, err)
	}
	if out, err := in(t, dir, "go", "list", "-find", "./..."); err != nil || strings.Contains(out, renamed) || !strings.Contains(out, next+"/cmd/cacheproxy\n") {
		t.Errorf("another path: %v\n%s", err, out)
	}
}

func TestBadPathChangesNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "go.mod", "module old\n\ngo 1.26\n")
	write(t, dir, "store/x.go", "package store\n\nimport _ \"old/store/y\"\n")
	for path, want := range map[string]string{
		"":                              "no path is given: make rename MODULE=example.org/x/cacheproxy",
		"cacheproxy":                    "begin with the name of a host",
		"Example.org/x":                 "begin with the name of a host",
		"/example.org/x":                "begin with the name of a host",
		"./x":                           "begin with the name of a host",
		"-x.org/x":                      "begin with the name of a host",
		"https://example.org/x":         "is a URL",
		"example.org":                   "nothing follows the host",
		"example.org/":                  "nothing follows the host",
		"example.org/x/":                `and has ""`,
		"example.org//x":                `and has ""`,
		"example.org/x y":               `and has "x y"`,
		"example.org/x/cacheproxy@v1":   `and has "cacheproxy@v1"`,
		"example.org/../x":              `and has ".."`,
		"example.org/x/cacheproxy.":     `and has "cacheproxy."`,
		"example.org/x/$1":              `and has "$1"`,
		"example.org/x/cacheproxy\nold": `and has "cacheproxy\nold"`,
	} {
		t.Chdir(dir)
		if err := run([]string{path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
	if got := read(t, dir, "go.mod") + read(t, dir, "store/x.go"); !strings.Contains(got, "module old\n") || !strings.Contains(got, `"old/store/y"`) {
		t.Errorf("changed:\n%s", got)
	}
	t.Chdir(t.TempDir())
	if err := run([]string{renamed}); err == nil || !strings.Contains(err.Error(), "run it in the folder of go.mod") {
		t.Errorf("outside of a module: %v", err)
	}
}

// The path of the module is a word that means other things too.
func TestOnlyTheModuleIsRenamed(t *testing.T) {
	dir := t.TempDir()
	for path, c := range map[string][2]string{
		"go.mod":             {"module old\n\nrequire oldest v1.0.0\n", "module example.org/x/cacheproxy\n\nrequire oldest v1.0.0\n"},
		"test/system/go.mod": {"module old/test/system\n\nreplace old => ../..\n\nrequire old v0.0.0\n", "module example.org/x/cacheproxy/test/system\n\nreplace example.org/x/cacheproxy => ../..\n\nrequire example.org/x/cacheproxy v0.0.0\n"},
		"store/x.go": {
			"package store\n\nimport (\n\t_ \"github.com/a/b\"\n\t_ \"old/store/y\"\n)\n\nconst a, b, c = \"old\", \"old/cmd/old\", \"/etc/old/store\"\n",
			"package store\n\nimport (\n\t_ \"example.org/x/cacheproxy/store/y\"\n\t_ \"github.com/a/b\"\n)\n\nconst a, b, c = \"old\", \"example.org/x/cacheproxy/cmd/old\", \"/etc/old/store\"\n",
		},
		"cmd/old/main.go":       {"package main\n", "package main\n"},
		"README.md":             {"old/1.0 reads old/config.yaml, old/stores, bold/cmd; go install old/cmd/old@latest old/store old/store-x\n", "old/1.0 reads old/config.yaml, old/stores, bold/cmd; go install example.org/x/cacheproxy/cmd/old@latest example.org/x/cacheproxy/store old/store-x\n"},
		"node_modules/old/x.md": {"old/cmd/x\n", "old/cmd/x\n"},
		"picture":               {"\x00 old/cmd/x\n", "\x00 old/cmd/x\n"},
	} {
		write(t, dir, path, c[0])
		t.Cleanup(func() {
			if got := read(t, dir, path); got != c[1] {
				t.Errorf("%s:\n%s\nwant\n%s", path, got, c[1])
			}
		})
	}
	if n, err := rename(dir, renamed); n != 4 || err != nil {
		t.Errorf("%d files, %v", n, err)
	}
}

// copyProject copies the files of the project to a folder of the test.
func copyProject(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	paths, err := files(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, path := range paths {
		write(t, dir, path, read(t, root, path))
	}
	return dir
}

func read(t *testing.T, dir, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, dir, path, text string) {
	t.Helper()
	file := filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func in(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	// Without the path of the copy in what is built, the next run finds it in Go's cache.
	cmd.Env = append(os.Environ(), "GOFLAGS=-trimpath "+os.Getenv("GOFLAGS"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
