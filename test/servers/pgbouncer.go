package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Pgbouncer starts a pooler before a PostgreSQL server for one test, in the mode "session", "transaction" or "statement", and returns the
// URL of the same database through it. It skips the test where PgBouncer is not installed. As root it runs as the user postgres, or nobody.
func Pgbouncer(tb testing.TB, database, mode string) string {
	tb.Helper()
	binary, err := findProgram("pgbouncer", "apt-get install pgbouncer (Debian, Ubuntu), or brew install pgbouncer", "/usr/sbin")
	if err != nil {
		tb.Skip(err)
	}
	dir, err := os.MkdirTemp("", "pgbouncer-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) }) // what is left is the system's to clear
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	process, through, err := startPgbouncer(ctx, binary, dir, database, mode)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := process.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return through
}

func startPgbouncer(ctx context.Context, binary, dir, database, mode string) (*Process, string, error) {
	credential, err := unprivileged("postgres", "nobody")
	if err != nil {
		return nil, "", err
	}
	port, err := FreePort()
	if err != nil {
		return nil, "", err
	}
	u, err := url.Parse(database)
	if err != nil {
		return nil, "", fmt.Errorf("parse URL of database: %w", err)
	}
	password, _ := u.User.Password()
	users, file := filepath.Join(dir, "users.txt"), filepath.Join(dir, "pgbouncer.ini")
	settings := fmt.Sprintf("[databases]\n* = host=%s port=%s\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%d\nunix_socket_dir=\nauth_type=plain\nauth_file=%s\npool_mode=%s\ndefault_pool_size=3\n",
		u.Hostname(), u.Port(), port, users, mode)
	err = errors.Join(os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", u.User.Username(), password), 0o600), os.WriteFile(file, []byte(settings), 0o600))
	for _, path := range []string{dir, users, file} {
		err = errors.Join(err, own(path, credential))
	}
	if err != nil {
		return nil, "", fmt.Errorf("write configuration of PgBouncer: %w", err)
	}
	process, err := StartProcess(ctx, Command{
		Path: binary, Args: []string{file}, Dir: dir, Ready: "process up", Interrupt: syscall.SIGINT, credential: credential,
	})
	if err != nil {
		return nil, "", err
	}
	u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return process, u.String(), nil
}
