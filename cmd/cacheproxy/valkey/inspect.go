package valkey

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/valkey"
	"cacheproxy/leaderboard"
	"cacheproxy/writebehind"

	queued "cacheproxy/writebehind/valkey"

	client "github.com/valkey-io/valkey-go"
)

// Level is the severity of a finding.
type Level uint8

const (
	Fine    Level = iota // as it should be, or good to know
	Warning              // works until a failure
	wrong                // a promise of the proxy is broken, or nothing works
)

// Finding is one result of an inspection.
type Finding struct {
	Level Level
	Topic string // subject, by the server's own name for it if it has one
	Text  string // the state, and what to change
}

// Use is the proxy's configured use of the server.
type Use struct {
	Server   valkey.Server
	Prefix   string
	Timeout  time.Duration // of one read
	Lease    time.Duration
	Replicas int // replicas that must confirm before an acknowledgement
	// Queued lists the durabilities of writes that are answered before their upstream has them; empty: none.
	Queued []writebehind.Durability
	// Boards lists the durabilities of acknowledged scores; empty: no boards. Archived: all boards have an archive.
	// Shared: the boards are on the server of the copies.
	Boards           []leaderboard.Durability
	Archived, Shared bool
}

// within bounds one inspection.
const within = 20 * time.Second

// inspection is one inspection of a server.
type inspection struct {
	Use
	client   client.Client
	findings []Finding
}

// Inspect inspects the server for the proxy's use. Inspect writes only keys of its own, and removes them.
func Inspect(ctx context.Context, u Use) []Finding {
	return inspect(ctx, u, func(ctx context.Context, in *inspection) {
		nodes := in.nodes(ctx)
		for _, n := range nodes {
			in.memory(n)
			in.persistence(n)
		}
		in.permissions(ctx)
		in.durability(ctx, nodes)
		for _, d := range u.Queued {
			in.promised(ctx, "queue of writes", d.String(), queued.ProofOf(d))
		}
	})
}

// inspect connects to the server and runs look if the server can be reached.
func inspect(ctx context.Context, u Use, look func(context.Context, *inspection)) []Finding {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	in := &inspection{Use: u}
	connection := valkey.NewConnection(u.Server, 0)
	if err := connection.Connect(); err != nil {
		in.add(wrong, "connection", "%s", cannotConnect(err))
		return in.findings
	}
	in.client, _ = connection.Client() // Connect has made the client
	defer in.client.Close()
	in.latency(ctx)
	look(ctx, in)
	return in.findings
}

func (in *inspection) add(l Level, topic, format string, args ...any) {
	in.findings = append(in.findings, Finding{l, topic, fmt.Sprintf(format, args...)})
}

// cannotConnect is the error with advice where to look.
func cannotConnect(err error) string { return err.Error() + unreachable[Kind(err)] }

// unreachable has the advice, by kind of error.
var unreachable = map[string]string{
	"noperm":    ": user or password is wrong, or the user is off; look at valkey.username and valkey.password",
	kindRefused: ": nothing listens there, or a firewall is between; look at the address",
	kindTimeout: ": no answer; look at the address and what is between, and at valkeys:// where the server speaks TLS",
	kindClosed:  ": it hangs up; look at valkeys:// where the server speaks TLS, and at valkey:// where it does not",
}

// latency measures the round trip, and the difference between the clocks.
func (in *inspection) latency(ctx context.Context) {
	best := time.Duration(-1)
	var drift time.Duration
	for range 5 {
		start := time.Now()
		now, err := in.client.Do(ctx, in.client.B().Time().Build()).AsIntSlice()
		took := time.Since(start)
		if err != nil || len(now) != 2 {
			in.add(Warning, "TIME", "is not answered: %v", errors.Join(err, ctx.Err()))
			return
		}
		if best < 0 || took < best {
			best = took
			drift = time.Unix(now[0], now[1]*1000).Sub(start.Add(took / 2))
		}
	}
	level, advice := Fine, ""
	if best > in.Timeout/2 {
		level, advice = Warning, fmt.Sprintf("; reads have %v (valkey.timeout): bring the server closer, or raise it", in.Timeout)
	}
	in.add(level, "round trip", "%v%s", best.Round(10*time.Microsecond), advice)
	if drift.Abs() > time.Second {
		in.add(Warning, "clock", "is %v off that of this machine: a mode that is set for a time ends sooner or later than it says; use NTP on both", drift.Round(100*time.Millisecond))
	} else {
		in.add(Fine, "clock", "agrees with that of this machine")
	}
}

// node is one server that takes writes.
type node struct {
	name     string // empty for a single node
	info     map[string]string
	config   map[string]string // the settings that the server told
	unasked  error             // why settings are missing
	replicas int
}

// of is a topic, with the node's name where there are several nodes.
func (n node) of(topic string) string {
	if n.name == "" {
		return topic
	}
	return topic + " of " + n.name
}

// asked are the settings that the inspection needs.
var asked = []string{"min-replicas-to-write", "min-replicas-max-lag", "cluster-node-timeout", "appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy"}

// nodes queries every server that takes writes.
func (in *inspection) nodes(ctx context.Context) (list []node) {
	all := in.client.Nodes()
	for _, address := range slices.Sorted(maps.Keys(all)) {
		c := all[address]
		n := node{name: address, info: map[string]string{}, config: map[string]string{}}
		if len(all) == 1 {
			n.name = ""
		}
		text, err := c.Do(ctx, c.B().Info().Build()).ToString()
		if err != nil {
			in.add(wrong, n.of("INFO"), "is not allowed (%v): the proxy could not tell whether the server was replaced, and does not use it; grant +info. Look up by yourself: %s", err, strings.Join(asked, ", "))
		}
		for line := range strings.Lines(text) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				n.info[name] = value
			}
		}
		if n.info["role"] == "slave" && len(all) > 1 {
			continue
		}
		n.config, n.unasked = in.settings(ctx, c)
		n.replicas = number(n.info["connected_slaves"])
		in.version(n)
		list = append(list, n)
	}
	return list
}

// settings queries the configuration, which managed services do not tell.
func (in *inspection) settings(ctx context.Context, c client.Client) (map[string]string, error) {
	all, err := c.Do(ctx, c.B().Arbitrary("CONFIG", "GET").Args(asked...).Build()).AsStrMap()
	if err != nil {
		return map[string]string{}, err
	}
	return all, nil
}

// version adds the server's product, version and role.
func (in *inspection) version(n node) {
	name, version := "Redis", n.info["redis_version"]
	if v := n.info["valkey_version"]; v != "" {
		name, version = "Valkey", v
	}
	major := number(strings.Split(version, ".")[0])
	switch {
	case version == "":
	case major < 7:
		in.add(wrong, n.of("version"), "is %s %s; run Valkey 7.2 or later, or Redis 7", name, version)
	default:
		in.add(Fine, n.of("version"), "%s %s, up for %v", name, version, time.Duration(number(n.info["uptime_in_seconds"]))*time.Second)
	}
	if n.info["role"] == "slave" {
		in.add(wrong, n.of("role"), "is a replica of %s: it takes no writes; name its primary in valkey.url, or use sentinel", n.info["master_host"])
	}
}

// silent is how long an instance without contact may still use copies.
func (in *inspection) silent() time.Duration { return in.Lease + invalidation.Margin(in.Lease) }
