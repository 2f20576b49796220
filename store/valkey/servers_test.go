package valkey

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/invalidation/fleet"
	"cacheproxy/invalidation/valkey"
	"cacheproxy/store"
	"cacheproxy/test/certificates"
	"cacheproxy/test/servers"

	client "github.com/valkey-io/valkey-go"
)

const prefix = "shop"

// run lets something run until the test ends.
func run(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

// connect makes a connection, and waits for it.
func connect(t testing.TB, s valkey.Server) *valkey.Connection {
	t.Helper()
	c := valkey.NewConnection(s, -1) // one socket for each node, so that nothing depends on which one is taken
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	run(t, c.Run)
	return c
}

func options(c *valkey.Connection, positions fleet.Positions) Options {
	return Options{
		Connection: c, Prefix: prefix, Positions: positions, Timeout: 5 * time.Second, MaxObject: 1 << 20, Log: slog.New(slog.DiscardHandler),
	}
}

// tier makes the tier of an instance that runs.
func tier(t testing.TB, o Options) *Tier {
	t.Helper()
	made := New(o)
	run(t, made.Run)
	return made
}

// opening opens tiers on one server, with a connection each.
func opening(s valkey.Server, pack bool) opener {
	return func(t *testing.T, positions fleet.Positions, maxObject int64) store.Tier {
		o := options(connect(t, s), positions)
		o.MaxObject, o.Compress = maxObject, pack
		made := New(o)
		made.patience = o.Timeout // what conforms does so on a machine that has much else to do, too
		run(t, made.Run)
		return made
	}
}

// raw is a client of its own, for what the tier would not do.
func raw(t testing.TB, s valkey.Server) client.Client {
	t.Helper()
	c, err := connect(t, s).Client()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// alone starts a server without anything.
func alone(t testing.TB, program string) (*servers.ValkeyServer, valkey.Server) {
	v := servers.Valkey(t, servers.ValkeyOptions{Program: program})
	return v, valkey.Server{Addresses: []string{v.Address()}}
}

// permissions are those that the documentation of the package names.
func permissions(t *testing.T) []string {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(source)) {
		if fields := strings.Fields(strings.ReplaceAll(line, "PREFIX", prefix)); len(fields) > 1 && strings.HasPrefix(fields[1], "~") {
			return fields[1:]
		}
	}
	t.Fatal("the documentation names no permissions")
	return nil
}

// guarded starts a server that speaks only TLS, and lets in only a user who may do no more than has to be.
func guarded(t *testing.T, program string) valkey.Server {
	authority := certificates.NewAuthority(t, "shop")
	dir := t.TempDir()
	cert, key := authority.Write(dir, "valkey", "127.0.0.1")
	users := filepath.Join(dir, "users.acl")
	rules := "user default off\nuser proxy on >secret " + strings.Join(permissions(t), " ") + "\n"
	if err := os.WriteFile(users, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	v := servers.Valkey(t, servers.ValkeyOptions{Program: program, CertFile: cert, KeyFile: key, Args: []string{"--aclfile", users}})
	return valkey.Server{
		Addresses: []string{v.Address()}, Username: "proxy", Password: "secret", TLS: &tls.Config{RootCAs: authority.Pool()},
	}
}

func sentinel(t *testing.T, program string) (*servers.ValkeySentinel, valkey.Server) {
	s := servers.StartValkeySentinel(t, program)
	return s, valkey.Server{Addresses: []string{s.Sentinel.Address()}, Sentinel: &valkey.Sentinel{Master: servers.SentinelMaster}}
}

func cluster(t *testing.T, program string) valkey.Server {
	var s valkey.Server
	for _, node := range servers.ValkeyCluster(t, program) {
		s.Addresses = append(s.Addresses, node.Address())
	}
	return s
}

// everywhere runs a test on every kind of server.
func everywhere(t *testing.T, test func(t *testing.T, s valkey.Server)) {
	for _, program := range []string{servers.ValkeyProgram, servers.RedisProgram} {
		for about, start := range map[string]func(t *testing.T) valkey.Server{
			"alone":       func(t *testing.T) valkey.Server { _, s := alone(t, program); return s },
			"TLS and ACL": func(t *testing.T) valkey.Server { return guarded(t, program) },
			"sentinel":    func(t *testing.T) valkey.Server { _, s := sentinel(t, program); return s },
			"cluster":     func(t *testing.T) valkey.Server { return cluster(t, program) },
		} {
			t.Run(program+" "+about, func(t *testing.T) {
				t.Parallel()
				test(t, start(t))
			})
		}
	}
}

func TestConformance(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		place := &shelf{items: make(map[string]shelved)}
		conform(t, func(t *testing.T, positions fleet.Positions, maxObject int64) store.Tier {
			return shelfTier{place, positions, maxObject}
		})
	})
	everywhere(t, func(t *testing.T, s valkey.Server) {
		t.Run("plain", func(t *testing.T) { conform(t, opening(s, false)) })
		t.Run("packed", func(t *testing.T) { conform(t, opening(s, true)) })
	})
}
