package valkey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation/valkey"
	"cacheproxy/test/servers"
)

func use(addresses ...string) Use {
	return Use{Server: valkey.Server{Addresses: addresses}, Prefix: "shop", Timeout: time.Second, Lease: 3 * time.Second}
}

// told are the findings of a level, as "topic: text".
func told(all []Finding, l Level) (lines []string) {
	for _, f := range all {
		if f.Level == l {
			lines = append(lines, f.Topic+": "+f.Text)
		}
	}
	return lines
}

// expect wants one line of a level about a topic, which holds the words.
func expect(t *testing.T, all []Finding, l Level, topic, words string) {
	t.Helper()
	if !slices.ContainsFunc(told(all, l), func(line string) bool { return strings.HasPrefix(line, topic+": ") && strings.Contains(line, words) }) {
		t.Errorf("nothing of level %d about %s says %q:\n%s", l, topic, words, everything(all))
	}
}

func everything(all []Finding) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "%d %s: %s\n", f.Level, f.Topic, f.Text)
	}
	return b.String()
}

func command(t *testing.T, s *servers.ValkeyServer, args ...string) string {
	t.Helper()
	out, err := s.CLI(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A server that is set up as docs/fleet.md says has nothing to say against it, and keeps nothing of the inspection.
func TestServerThatFits(t *testing.T) {
	for _, program := range servers.ValkeyPrograms() {
		t.Run(program, func(t *testing.T) {
			s := servers.Valkey(t, servers.ValkeyOptions{Program: program, Args: []string{"--maxmemory", "64mb", "--maxmemory-policy", "volatile-lfu", "--appendonly", "yes"}})
			all := Inspect(t.Context(), use(s.Address()))
			if len(told(all, Warning))+len(told(all, wrong)) > 0 {
				t.Errorf("found:\n%s", everything(all))
			}
			expect(t, all, Fine, "permissions", "user default may do all")
			expect(t, all, Fine, "maxmemory", "67108864 bytes")
			expect(t, all, Fine, "replicas", "none")
			expect(t, all, Fine, "appendonly", "yes")
			if keys := command(t, s, "KEYS", "*"); keys != "" {
				t.Errorf("left behind: %s", keys)
			}
		})
	}
}

func TestServerThatDoesNot(t *testing.T) {
	s := servers.Valkey(t, servers.ValkeyOptions{})
	all := Inspect(t.Context(), use(s.Address()))
	expect(t, all, Warning, "maxmemory-policy", "no purge can be recorded")
	expect(t, all, Warning, "maxmemory", "is not set")
	expect(t, all, Fine, "appendonly", "no, and no snapshots")
	command(t, s, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "32mb")
	u := use(s.Address())
	u.Replicas = 1
	all = Inspect(t.Context(), u)
	expect(t, all, wrong, "maxmemory-policy", "set it to volatile-lfu")
	expect(t, all, wrong, "replicas", "0 are connected, and durability: replicas waits for 1")
	expect(t, all, wrong, "WAIT", "0 replicas confirmed")
	command(t, s, "CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")
	expect(t, Inspect(t.Context(), use(s.Address())), wrong, "writing", "the memory is full")
}

// A server with a replica is held against what a failover may do.
func TestReplicas(t *testing.T) {
	primary := servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--repl-diskless-sync-delay", "0"}})
	host, port, err := net.SplitHostPort(primary.Address())
	if err != nil {
		t.Fatal(err)
	}
	replica := servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--replicaof", host + " " + port}})
	for !strings.Contains(command(t, primary, "INFO", "replication"), "state=online") {
		if t.Context().Err() != nil {
			t.Fatal("no replica")
		}
	}
	expect(t, Inspect(t.Context(), use(primary.Address())), Warning, "replicas", "write durability: replicas")
	expect(t, Inspect(t.Context(), use(primary.Address())), Warning, "min-replicas-to-write", "is off")
	u := use(primary.Address())
	u.Replicas = 1
	all := Inspect(t.Context(), u)
	expect(t, all, wrong, "min-replicas-to-write", "set min-replicas-to-write 1")
	expect(t, all, Fine, "WAIT", "confirmed")
	command(t, primary, "CONFIG", "SET", "min-replicas-to-write", "1", "min-replicas-max-lag", "5")
	expect(t, Inspect(t.Context(), u), Fine, "min-replicas-to-write", "only 9.15s or more after")

	all = Inspect(t.Context(), use(replica.Address()))
	expect(t, all, wrong, "role", "is a replica of "+host)
	expect(t, all, wrong, "writing", "this is a replica")
}

// What a user may not do is named, with what to grant; and having granted it is enough.
func TestPermissions(t *testing.T) {
	s := servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--maxmemory", "64mb", "--maxmemory-policy", "volatile-lfu"}})
	u := use(s.Address())
	u.Server.Username, u.Server.Password = "app", "secret"
	expect(t, Inspect(t.Context(), u), wrong, "connection", "user or password is wrong")
	command(t, s, "ACL", "SETUSER", "app", "on", ">secret", "~shop:*", "~{shop}:*", "+@connection", "+@read", "+info", "+time")
	all := Inspect(t.Context(), u)
	expect(t, all, wrong, "permissions", "may not use SET, ")
	expect(t, all, wrong, "permissions", "XADD")
	_, grant, _ := strings.Cut(strings.Join(told(all, wrong), "\n"), "grant: ")
	command(t, s, strings.Fields(grant)...)
	all = Inspect(t.Context(), u)
	if len(told(all, wrong)) > 0 {
		t.Errorf("not enough: %s\n%s", grant, everything(all))
	}
	for name, less := range map[string]string{"XADD": "-xadd", "EVALSHA": "-evalsha", "EVAL of SET": "-eval", "SUBSCRIBE and PUBLISH": "-subscribe", "MULTI": "-multi", "PTTL": "-pttl", "INFO": "-info", "LTRIM": "-ltrim"} {
		command(t, s, "ACL", "SETUSER", "app", less)
		expect(t, Inspect(t.Context(), u), wrong, "permissions", name)
		command(t, s, "ACL", "SETUSER", "app", "+"+less[1:])
	}
	command(t, s, "ACL", "SETUSER", "app", "resetkeys", "~other:*", "~{other}:*")
	expect(t, Inspect(t.Context(), u), wrong, "permissions", "may not use SET, ")
}

// Where a service tells neither CONFIG nor INFO, it is said what to look up there.
func TestManaged(t *testing.T) {
	s := servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--maxmemory", "64mb", "--maxmemory-policy", "volatile-lfu", "--rename-command", "CONFIG", ""}})
	all := Inspect(t.Context(), use(s.Address()))
	if len(told(all, Warning))+len(told(all, wrong)) > 0 {
		t.Errorf("INFO says all that matters here:\n%s", everything(all))
	}
	u := use(s.Address())
	in := &inspection{Use: u}
	in.splitBrain(node{unasked: errors.New("ERR unknown command"), replicas: 1}, 0, "")
	expect(t, in.findings, Warning, "min-replicas-to-write", "look up in the settings of the service")
	command(t, s, "ACL", "SETUSER", "default", "-info")
	all = Inspect(t.Context(), u)
	expect(t, all, wrong, "INFO", "grant +info")
	expect(t, all, wrong, "permissions", "may not use INFO; grant: ")
	expect(t, all, Warning, "maxmemory-policy", "look up that maxmemory is set")
}

// The relation that keeps an old primary from renewing leases after another was promoted.
func TestSplitBrain(t *testing.T) {
	for _, c := range []struct {
		lag      int
		failover time.Duration
		replicas int // that confirm
		level    Level
		words    string
	}{
		{5, 15 * time.Second, 1, Fine, "5.85s before another"},
		{5, 9150 * time.Millisecond, 1, wrong, "set that to 15000 or more"},
		{10, 5 * time.Second, 0, Warning, "need 14.15s"},
		{5, 0, 1, Fine, "by hand only 9.15s"},
	} {
		in := &inspection{Use: use("a")}
		in.Replicas = c.replicas
		in.splitBrain(node{replicas: 1, config: map[string]string{"min-replicas-to-write": "1", "min-replicas-max-lag": strconv.Itoa(c.lag)}}, c.failover, "cluster-node-timeout")
		if len(in.findings) != 1 || in.findings[0].Level != c.level || !strings.Contains(in.findings[0].Text, c.words) {
			t.Errorf("lag %d, failover %v: %s", c.lag, c.failover, everything(in.findings))
		}
	}
}

func TestNobodyThere(t *testing.T) {
	port, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	expect(t, Inspect(t.Context(), use(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))), wrong, "connection", "nothing listens there")
}

func TestKind(t *testing.T) {
	var dns error = &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host"}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""}, {context.Canceled, ""}, {fmt.Errorf("sync: %w", context.DeadlineExceeded), "timeout"}, {valkey.ErrNotConnected, "refused"},
		{fmt.Errorf("sync: %w", dns), "refused"}, {io.EOF, "closed"}, {&net.OpError{Op: "read", Err: errors.New("reset")}, "closed"}, {errors.New("odd"), "other"},
	} {
		if got := Kind(c.err); got != c.want {
			t.Errorf("%v is of kind %q, want %q", c.err, got, c.want)
		}
		if got := Kind(c.err); got != "" && !slices.Contains(Kinds(), got) {
			t.Errorf("%q is not in the vocabulary", got)
		}
	}
	for _, r := range replies {
		if !slices.Contains(Kinds(), r.kind) {
			t.Errorf("%q is not in the vocabulary", r.kind)
		}
	}
}

// Each primary of a cluster is looked at.
func TestCluster(t *testing.T) {
	var addresses []string
	for _, n := range servers.ValkeyCluster(t, "") {
		addresses = append(addresses, n.Address())
	}
	all := Inspect(t.Context(), use(addresses...))
	expect(t, all, Fine, "permissions", "may do all")
	for _, address := range addresses {
		expect(t, all, Warning, "maxmemory of "+address, "is not set")
		expect(t, all, Warning, "replicas of "+address, "nothing can take over")
	}
}

// Sentinels tell when they would promote a replica.
func TestSentinel(t *testing.T) {
	s := servers.StartValkeySentinel(t, "")
	u := use(s.Sentinel.Address())
	u.Server.Sentinel = &valkey.Sentinel{Master: servers.SentinelMaster}
	all := Inspect(t.Context(), u)
	expect(t, all, Fine, "sentinel "+s.Sentinel.Address(), "down after")
	expect(t, all, Fine, "permissions", "may do all")
	expect(t, all, Warning, "min-replicas-to-write", "is off")
	u.Server.Sentinel.Master = "nobody"
	expect(t, Inspect(t.Context(), u), wrong, "connection", "")
}
