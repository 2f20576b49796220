package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The programs that serve: the second must do wherever the first does.
const (
	ValkeyProgram = "valkey-server"
	RedisProgram  = "redis-server"
)

const (
	valkeyInstall = "apt-get install valkey-server (Debian, from its backports in release 12), or brew install valkey"
	redisInstall  = "apt-get install redis-server (Debian, Ubuntu), or brew install redis"

	// valkeyReady is printed once for each kind of listener; there is one.
	valkeyReady = "Ready to accept connections"

	// valkeyTaken is what the log says when the port was taken between our
	// finding it free and the server's binding it.
	valkeyTaken = "Address already in use"
)

// ValkeyOptions say how a server is to run. The zero value is a server without
// persistence, password and TLS.
type ValkeyOptions struct {
	// Program is ValkeyProgram or RedisProgram. Empty: the first of the two
	// that is installed.
	Program string

	// CertFile and KeyFile, if set, are what it serves TLS with, and nothing
	// else.
	CertFile, KeyFile string

	// Args are added to the command line ("--appendonly", "yes") and win.
	Args []string
}

// ValkeyServer is a server that keeps its port and its folder when it is
// stopped or killed, and started again. Its methods must be called one after
// another.
type ValkeyServer struct {
	options ValkeyOptions
	binary  string
	dir     string
	port    int
	process *Process
}

// Address is where clients connect: a port of 127.0.0.1.
func (v *ValkeyServer) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(v.port)) }

// Process is what runs, or ran last.
func (v *ValkeyServer) Process() *Process { return v.process }

// Stop ends the server in good order: what persistence it has is written.
func (v *ValkeyServer) Stop() error { return v.process.Stop() }

// Kill ends the server at once, as kill -9 does.
func (v *ValkeyServer) Kill() { v.process.kill() }

// Start starts a server that has ended, on the same port and folder.
func (v *ValkeyServer) Start(ctx context.Context) error {
	args := []string{
		"--port", strconv.Itoa(v.port), "--bind", "127.0.0.1", "--dir", v.dir, "--daemonize", "no", "--logfile", "",
		"--save", "", "--appendonly", "no", "--protected-mode", "no",
	}
	if o := v.options; o.CertFile != "" {
		args = append(args, "--port", "0", "--tls-port", strconv.Itoa(v.port), "--tls-cert-file", o.CertFile, "--tls-key-file", o.KeyFile,
			"--tls-ca-cert-file", o.CertFile, "--tls-auth-clients", "no")
	}
	process, err := StartProcess(ctx, Command{Path: v.binary, Args: append(args, v.options.Args...), Dir: v.dir, Ready: valkeyReady})
	if err != nil {
		return err
	}
	v.process = process
	return nil
}

// CLI runs a command on the server with the program's own client, which knows
// neither TLS nor passwords here, and returns what it prints.
func (v *ValkeyServer) CLI(ctx context.Context, args ...string) (string, error) {
	return valkeyCLI(ctx, v.binary, v.port, args...)
}

// valkeyCLI runs the client that was installed beside a server's binary.
func valkeyCLI(ctx context.Context, binary string, port int, args ...string) (string, error) {
	name := strings.Replace(filepath.Base(binary), "-server", "-cli", 1)
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(binary), name), append([]string{"-p", strconv.Itoa(port), "-e"}, args...)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("run %s %s: %w: %s%s", name, strings.Join(args, " "), err, said.String(), out.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// Valkey starts a server for one test, or benchmark, and ends it when that
// does. It fails the test where neither program is installed, and skips it
// where the one that it asks for is not but the other is.
func Valkey(tb testing.TB, o ValkeyOptions) *ValkeyServer {
	tb.Helper()
	NeedValkey(tb, o.Program)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := StartValkey(ctx, valkeyFolder(tb), o)
	if err != nil {
		tb.Fatal(err)
	}
	endWith(tb, server)
	return server
}

// NeedValkey skips the test where a program is not installed and the other is.
func NeedValkey(tb testing.TB, program string) {
	tb.Helper()
	if installed := ValkeyPrograms(); program != "" && len(installed) > 0 && !slices.Contains(installed, program) {
		tb.Skipf("%s is not installed; test/install installs it where it can be had", program)
	}
}

// ValkeyPrograms are those of the two programs that are installed.
func ValkeyPrograms() []string {
	var installed []string
	for _, program := range []string{ValkeyProgram, RedisProgram} {
		if _, err := exec.LookPath(program); err == nil {
			installed = append(installed, program)
		}
	}
	return installed
}

// valkeyFolder is a folder for one server; tb.TempDir would be removed before
// the server has ended.
func valkeyFolder(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "valkey-")
	if err != nil {
		tb.Fatalf("make folder for Valkey: %v", err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("remove folder of Valkey: %v", err)
		}
	})
	return dir
}

func endWith(tb testing.TB, servers ...*ValkeyServer) {
	for _, v := range servers {
		// What a test has stopped with SIGSTOP does not end by itself.
		tb.Cleanup(func() { _ = v.process.Signal(syscall.SIGCONT); v.Kill() })
	}
}

// StartValkey starts a server on a free port of 127.0.0.1, with its files in
// dir. ctx limits the start only; the caller ends the server with Stop or Kill.
func StartValkey(ctx context.Context, dir string, o ValkeyOptions) (*ValkeyServer, error) {
	binary, err := findValkey(o.Program)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		v := &ValkeyServer{options: o, binary: binary, dir: dir, port: port}
		if err = v.Start(ctx); err == nil {
			return v, nil
		}
		if attempt == 3 || !strings.Contains(err.Error(), valkeyTaken) {
			return nil, err
		}
	}
}

func findValkey(program string) (string, error) {
	switch program {
	case RedisProgram:
		return findProgram(RedisProgram, redisInstall)
	case ValkeyProgram:
		return findProgram(ValkeyProgram, valkeyInstall)
	}
	binary, err := findProgram(ValkeyProgram, valkeyInstall)
	if err == nil {
		return binary, nil
	}
	binary, second := findProgram(RedisProgram, redisInstall)
	if second == nil {
		return binary, nil
	}
	return "", errors.Join(err, second)
}
