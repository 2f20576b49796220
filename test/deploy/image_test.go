package deploy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	linted "github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	digest "github.com/opencontainers/go-digest"
)

// baseImages answers for images without a registry: each exists, with nothing set.
type baseImages struct{}

func (baseImages) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, digest.FromString(ref), []byte(`{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/local/go/bin:/usr/bin:/bin"]}}`), nil
}

// The image builder's own linter has nothing to say, and every base image has a version.
func TestDockerfiles(t *testing.T) {
	for _, path := range []string{"Dockerfile", "deploy/compose/shop.Dockerfile"} {
		content := []byte(read(t, path))
		found := lint(t, content)
		if found.Error != nil {
			t.Errorf("%s: %s", path, found.Error.Message)
		}
		for _, w := range found.Warnings {
			t.Errorf("%s: %s: %s", path, w.RuleName, w.Detail)
		}
		for _, stage := range stages(t, path) {
			if stage.BaseName != "scratch" && !regexp.MustCompile(`:[0-9]`).MatchString(stage.BaseName) {
				t.Errorf("%s: base image %s without a version", path, stage.BaseName)
			}
		}
	}
}

func TestDockerfileLintFinds(t *testing.T) {
	if found := lint(t, []byte("FROM scratch\nENV A 1\nCMD serve $B\n")); len(found.Warnings) == 0 {
		t.Errorf("nothing found in a bad file: %v", found)
	}
	if found := lint(t, []byte("FROM scratch\nCOPPY a /a\n")); found.Error == nil {
		t.Errorf("nothing found in a file that cannot be built: %v", found)
	}
}

func lint(t *testing.T, content []byte) *linted.LintResults {
	t.Helper()
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", content)
	source.Definition = &llb.Definition{}
	found, err := dockerfile2llb.DockerfileLint(t.Context(), content, dockerfile2llb.ConvertOpt{MetaResolver: baseImages{}, SourceMap: source})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func stages(t *testing.T, path string) []instructions.Stage {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(read(t, path)))
	if err != nil {
		t.Fatal(path, err)
	}
	all, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(path, err)
	}
	return all
}

// buildContext copies what the builder would be sent.
func buildContext(t *testing.T, ignore string) string {
	t.Helper()
	patterns, err := ignorefile.ReadAll(strings.NewReader(read(t, ignore)))
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil || relative == "." {
			return err
		}
		out, err := ignored.MatchesOrParentMatches(relative)
		switch {
		case err != nil:
			return err
		case out && entry.IsDir():
			return fs.SkipDir
		case out || !entry.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		write(t, filepath.Join(to, relative), string(content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// buildAsImage runs the build command of the Dockerfile on what the builder would be sent.
func buildAsImage(t *testing.T, dockerfile, ignore, binary string) string {
	t.Helper()
	source, out := buildContext(t, ignore), filepath.Join(t.TempDir(), "built")
	for _, command := range stages(t, dockerfile)[0].Commands {
		step, ok := command.(*instructions.RunCommand)
		if !ok {
			continue
		}
		line := strings.Join(step.CmdLine, " ")
		if !strings.Contains(line, "go build") {
			continue
		}
		if !strings.Contains(line, "-o "+binary+" ") {
			t.Fatalf("the build does not write %s: %s", binary, line)
		}
		cmd := exec.Command("/bin/sh", "-c", strings.Replace(line, "-o "+binary+" ", "-o "+out+" ", 1))
		cmd.Dir, cmd.Env = source, environment("TARGETOS=linux", "TARGETARCH="+runtime.GOARCH, "RELEASE=v1.2.3")
		run(t, cmd)
		return out
	}
	t.Fatal("the Dockerfile has no go build")
	return ""
}

// The build command of the image gives a static binary, the same twice, that runs in an empty root as a user without
// rights, where it can write nothing.
func TestImage(t *testing.T) {
	binary := buildAsImage(t, "Dockerfile", ".dockerignore", "/cacheproxy")
	if a, b := sum(t, binary), sum(t, buildAsImage(t, "Dockerfile", ".dockerignore", "/cacheproxy")); a != b {
		t.Error("building twice, in different folders, gives different binaries")
	}
	static(t, binary)
	if out := run(t, exec.Command(binary, "version")); !strings.Contains(out, "v1.2.3") {
		t.Errorf("version says %q", out)
	}
	if os.Getuid() != 0 {
		t.Skip("not run as in the image: only root can change the root folder")
	}
	// The parents of t.TempDir() are closed to others.
	image, err := os.MkdirTemp("", "cacheproxy-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(image) })
	for path, mode := range map[string]os.FileMode{"cacheproxy": 0o755, "etc/cacheproxy/config.yaml": 0o644} {
		content := []byte("upstreams:\n  - {name: api, url: \"" + api(t) + "\"}\n")
		if mode == 0o755 {
			if content, err = os.ReadFile(binary); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(image, path), string(content))
		if err := os.Chmod(filepath.Join(image, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(image, 0o555); err != nil {
		t.Fatal(err)
	}
	final := stages(t, "Dockerfile")[1]
	inImage := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/cacheproxy", args...)
		cmd.Dir, cmd.Env = "/", imageEnv(t, final)
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: image, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		return cmd
	}
	start := inImage(slices.Concat(imageCommand(t, final), []string{"--admin", "127.0.0.1:0"})...)
	// Any port instead of the image's: others may run here.
	start.Env = append(start.Env, "CACHEPROXY_LISTEN="+strings.Replace(envOf(start.Env, "CACHEPROXY_LISTEN"), "8080", "0", 1))
	p := serve(t, start)
	if !strings.HasPrefix(p.data, "http://[::]:") {
		t.Errorf("in the image it listens on %s, which cannot be reached from outside", p.data)
	}
	local := strings.Replace(p.data, "[::]", "127.0.0.1", 1)
	if status, _, body := get(t, local+"/products/17"); status != 200 {
		t.Errorf("answer %d %s", status, body)
	}
	run(t, inImage("health", "--admin", p.admin))
	if out, err := output(inImage("health", "--admin", "http://127.0.0.1:1")); err == nil {
		t.Errorf("health where nobody listens: %s", out)
	}
	entries, err := os.ReadDir(image)
	if err != nil || len(entries) != 2 {
		t.Errorf("the running proxy left %v in its root, %v", entries, err)
	}
}

// What the image says about how it is run.
func TestImageSettings(t *testing.T) {
	final := stages(t, "Dockerfile")[1]
	if final.BaseName != "scratch" {
		t.Errorf("based on %s", final.BaseName)
	}
	var user string
	var health []string
	for _, command := range final.Commands {
		switch c := command.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.HealthCheckCommand:
			health = c.Health.Test
		}
	}
	if user != "65532:65532" {
		t.Errorf("runs as %q", user)
	}
	if want := []string{"CMD", "/cacheproxy", "health"}; !slices.Equal(health, want) {
		t.Errorf("health check %q, want %q", health, want)
	}
	if got, want := imageCommand(t, final), []string{"serve", "--config", "/etc/cacheproxy/config.yaml"}; !slices.Equal(got, want) {
		t.Errorf("command %q, want %q", got, want)
	}
}

func TestShopImage(t *testing.T) {
	static(t, buildAsImage(t, "deploy/compose/shop.Dockerfile", "deploy/compose/shop.Dockerfile.dockerignore", "/shop"))
}

func imageCommand(t *testing.T, stage instructions.Stage) []string {
	t.Helper()
	for _, command := range stage.Commands {
		if c, ok := command.(*instructions.CmdCommand); ok {
			return c.CmdLine
		}
	}
	t.Fatal("the image has no command")
	return nil
}

func imageEnv(t *testing.T, stage instructions.Stage) (env []string) {
	t.Helper()
	for _, command := range stage.Commands {
		if c, ok := command.(*instructions.EnvCommand); ok {
			for _, pair := range c.Env {
				env = append(env, pair.Key+"="+pair.Value)
			}
		}
	}
	return env
}

func envOf(env []string, key string) string {
	for _, pair := range env {
		if value, ok := strings.CutPrefix(pair, key+"="); ok {
			return value
		}
	}
	return ""
}

func static(t *testing.T, binary string) {
	t.Helper()
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary needs a dynamic linker, and the image has none")
		}
	}
	if libraries, err := f.ImportedLibraries(); len(libraries) > 0 && !errors.Is(err, elf.ErrNoSymbols) {
		t.Errorf("the binary needs %v, %v", libraries, err)
	}
}

func sum(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(bytes.Clone(content))
	return string(digest[:])
}
