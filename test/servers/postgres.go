package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	postgresInstall = "apt-get install postgresql (Debian, Ubuntu), or brew install postgresql"

	// postgresReady is the last line of a start; initdb sets the locale in
	// which it is not translated.
	postgresReady = "database system is ready to accept connections"

	// standbyReady is that of a standby.
	standbyReady = "database system is ready to accept read-only connections"

	// postgresTaken is what the log says when the port was taken between our
	// finding it free and the server's binding it.
	postgresTaken = "could not create any TCP/IP sockets"
)

var postgresFolders = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
}

// PostgresServer is a running PostgreSQL server with a database of its own.
type PostgresServer struct {
	process    *Process
	url        string
	binary     string
	password   string
	credential *syscall.Credential
	data       string
	args       []string
}

// URL is the connection string of a superuser on an empty database.
func (p *PostgresServer) URL() string { return p.url }

// PID is the process id of the server's parent process (the postmaster), of
// which all other processes of the server are children.
func (p *PostgresServer) PID() int { return p.process.PID() }

// Kill ends the server as a crash of its machine would: nothing is said to anybody.
func (p *PostgresServer) Kill() { p.process.kill() }

// Start starts a server that has ended, on the same port and folder.
func (p *PostgresServer) Start(ctx context.Context) error {
	process, err := StartProcess(ctx, Command{
		Path: p.binary, Args: p.args, Dir: p.data, Ready: postgresReady, Interrupt: syscall.SIGINT, credential: p.credential,
	})
	if err == nil {
		p.process = process
	}
	return err
}

// Standby starts a server below dir that follows this one, and can take its place: SELECT pg_promote(). It is the caller's to stop.
func (p *PostgresServer) Standby(ctx context.Context, dir string, settings ...string) (*PostgresServer, error) {
	if err := own(dir, p.credential); err != nil {
		return nil, err
	}
	backup, err := findProgram("pg_basebackup", postgresInstall, postgresFolders...)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	cmd := exec.CommandContext(ctx, backup,
		"--dbname", p.url, "--pgdata", data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = dir, childAttributes(p.credential)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy PostgreSQL cluster: %w; pg_basebackup said:\n%s", err, out)
	}
	return runPostgres(ctx, p.binary, data, p.password, standbyReady, settings, p.credential)
}

// Stop ends the server, disconnecting its clients, and returns when it has
// ended. Its folder is the caller's to remove.
func (p *PostgresServer) Stop() error { return p.process.Stop() }

// Postgres starts a server for one test, or benchmark, stops it when that ends,
// and returns its URL. It fails the test where PostgreSQL is not installed.
// Settings are those of StartPostgres.
func Postgres(tb testing.TB, settings ...string) (url string) {
	tb.Helper()
	// tb.TempDir has a parent that only this user may enter, and as root the
	// server runs as another.
	dir, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		tb.Fatalf("make folder for PostgreSQL: %v", err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("remove folder of PostgreSQL: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := StartPostgres(ctx, dir, settings...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return server.URL()
}

// StartPostgres initialises a database cluster in a folder of its own below
// dir and starts a server on it, listening on a free port of 127.0.0.1 and on no
// socket file. As root, both run as the user postgres, or nobody, who is given
// dir. The server is set up to be thrown away: it does not wait for the disk.
// Settings ("fsync=on", "wal_level=logical") are added to the server's command
// line and win.
//
// ctx limits the start only; the caller ends the server with Stop.
func StartPostgres(ctx context.Context, dir string, settings ...string) (*PostgresServer, error) {
	initdb, err := findProgram("initdb", postgresInstall, postgresFolders...)
	if err != nil {
		return nil, err
	}
	credential, err := unprivileged("postgres", "nobody")
	if err != nil {
		return nil, err
	}
	if err := own(dir, credential); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	password, err := newCluster(ctx, initdb, data, credential)
	if err != nil {
		return nil, err
	}
	// initdb and postgres must be of the same version, so of the same folder.
	binary := filepath.Join(filepath.Dir(initdb), "postgres")
	for attempt := 1; ; attempt++ {
		server, err := runPostgres(ctx, binary, data, password, postgresReady, settings, credential)
		if err == nil || attempt == 3 || !strings.Contains(err.Error(), postgresTaken) {
			return server, err
		}
	}
}

func runPostgres(ctx context.Context, binary, data, password, ready string, settings []string, credential *syscall.Credential) (*PostgresServer, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	args := []string{"-D", data, "-p", strconv.Itoa(port)}
	defaults := []string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "synchronous_commit=off",
		"full_page_writes=off", "shared_buffers=128MB", "max_connections=200",
	}
	for _, setting := range append(defaults, settings...) {
		args = append(args, "-c", setting)
	}
	process, err := StartProcess(ctx, Command{
		Path: binary, Args: args, Dir: data, Ready: ready,
		Interrupt:  syscall.SIGINT, // "fast": does not wait for clients to leave
		credential: credential,
	})
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/postgres?sslmode=disable", password, port)
	return &PostgresServer{process: process, url: url, binary: binary, password: password, credential: credential, data: data, args: args}, nil
}
