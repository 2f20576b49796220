package valkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cacheproxy/invalidation/valkey"
)

// number reads a number; zero where text is none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// room is the memory limit and the eviction policy, by CONFIG or else INFO; empty: neither tells.
func (n node) room() (limit, policy string) {
	return cmp.Or(n.config["maxmemory"], n.info["maxmemory"]), cmp.Or(n.config["maxmemory-policy"], n.info["maxmemory_policy"])
}

// memory checks what a full server does.
func (in *inspection) memory(n node) {
	limit, policy := n.room()
	if limit == "" || policy == "" {
		in.add(Warning, n.of("maxmemory-policy"), "cannot be asked for; look up that maxmemory is set and maxmemory-policy is volatile-lfu")
		return
	}
	switch {
	case strings.HasPrefix(policy, "allkeys-"):
		in.add(wrong, n.of("maxmemory-policy"), "is %s, which may throw away the log of purges with the copies; set it to volatile-lfu: copies have a lifetime, the log has none", policy)
	case policy == "noeviction":
		in.add(Warning, n.of("maxmemory-policy"), "is noeviction: when the memory is full, no purge can be recorded; set it to volatile-lfu, so that copies give way")
	default:
		in.add(Fine, n.of("maxmemory-policy"), "%s", policy)
	}
	if limit == "0" {
		in.add(Warning, n.of("maxmemory"), "is not set, and the copies grow until the system ends the server; set it to about three quarters of the memory it may use")
	} else {
		in.add(Fine, n.of("maxmemory"), "%s bytes, of which %s are in use", limit, n.info["used_memory"])
	}
}

// persistence reports what is left after a restart of the server.
func (in *inspection) persistence(n node) {
	aof := n.info["aof_enabled"] == "1" || n.config["appendonly"] == "yes"
	switch {
	case n.info["aof_enabled"] == "" && n.config["appendonly"] == "":
	case aof:
		in.add(Fine, n.of("appendonly"), "yes: copies and purges survive a restart")
	case n.config["save"] != "":
		in.add(Fine, n.of("appendonly"), "no, but snapshots: after a crash, what was purged since the last one is purged again by the instances that are left")
	default:
		in.add(Fine, n.of("appendonly"), "no, and no snapshots: after a restart the server is empty, and until it is filled again the API takes what the instances' memories do not hold")
	}
}

// durability checks what a failover may lose, and how long two servers may both act as the primary.
func (in *inspection) durability(ctx context.Context, nodes []node) {
	if len(nodes) == 0 {
		return
	}
	failover, from := in.failoverAfter(ctx, nodes[0])
	for _, n := range nodes {
		in.replicas(n, failover > 0)
		if n.replicas > 0 || failover > 0 {
			in.splitBrain(n, failover, from)
		}
	}
}

// replicas checks how many replicas have what is acknowledged.
func (in *inspection) replicas(n node, failover bool) {
	switch {
	case n.info["role"] == "":
	case in.Replicas > n.replicas:
		in.add(wrong, n.of("replicas"), "%d are connected, and durability: replicas waits for %d: no purge is confirmed; add a replica, or write durability: none", n.replicas, in.Replicas)
	case in.Replicas == 0 && n.replicas > 0:
		in.add(Warning, n.of("replicas"), "%d are connected, and durability: none does not wait for them: a failover can lose the last purges until an instance that has applied them puts them right; write durability: replicas", n.replicas)
	case in.Replicas > 0 && n.replicas > in.Replicas:
		in.add(Warning, n.of("replicas"), "%d are connected, and one confirms what is acknowledged: a failover to another can lose it until an instance puts it right; keep one, or make sure that the one which is ahead is promoted", n.replicas)
	case n.replicas == 0 && failover:
		in.add(Warning, n.of("replicas"), "none is connected, so that nothing can take over; add one")
	case n.replicas == 0:
		in.add(Fine, n.of("replicas"), "none: while the server is down, no purge is confirmed and each route does what its \"no news\" says")
	default:
		in.add(Fine, n.of("replicas"), "%d", n.replicas)
	}
}

// splitBrain compares the settings that bound the leases beside an old primary. After a replica's promotion, an old
// primary that is cut off with a part of the instances must not renew their leases: m + 1s + lease + margin < the time
// until the promotion, where m is min-replicas-max-lag.
func (in *inspection) splitBrain(n node, failover time.Duration, from string) {
	level := Warning
	if in.Replicas > 0 {
		level = wrong
	}
	write, lag := n.config["min-replicas-to-write"], time.Duration(number(n.config["min-replicas-max-lag"]))*time.Second
	need := lag + time.Second + in.silent()
	want := max(15*time.Second, (5*time.Second+time.Second+in.silent()).Round(time.Second)+time.Second)
	switch {
	case write == "":
		in.add(Warning, n.of("min-replicas-to-write"), "cannot be asked for (%v); look up in the settings of the service that it is 1 and min-replicas-max-lag 5, and that a replica is promoted only %v after the primary was last seen. Without that, instances that are cut off with an old primary can miss confirmed purges",
			n.unasked, want)
	case write == "0" || lag == 0:
		in.add(level, n.of("min-replicas-to-write"), "is off: an old primary that is cut off goes on renewing the leases of instances beside it, which then miss confirmed purges; set min-replicas-to-write 1 and min-replicas-max-lag 5")
	case failover == 0:
		in.add(Fine, n.of("min-replicas-to-write"), "%s, within %v: promote a replica by hand only %v or more after the primary was last seen", write, lag, need)
	case need >= failover:
		in.add(level, n.of("min-replicas-max-lag"), "of %v and the lease need %v (lag + 1s + lease + margin), and a replica is promoted after %v (%s): set that to %d or more, or min-replicas-max-lag or valkey.lease to less",
			lag, need, failover, from, want.Milliseconds())
	default:
		in.add(Fine, n.of("min-replicas-to-write"), "%s, within %v; leases of instances beside an old primary end %v before another is promoted", write, lag, failover-need)
	}
}

// failoverAfter is how long a primary has to be unreachable until a replica is promoted, and the setting that says so.
// Zero: nothing promotes a replica, or the setting is unknown.
func (in *inspection) failoverAfter(ctx context.Context, n node) (time.Duration, string) {
	if in.Server.Sentinel != nil {
		return in.downAfter(ctx), "down-after-milliseconds of the sentinels"
	}
	if n.info["cluster_enabled"] == "1" {
		return time.Duration(number(n.config["cluster-node-timeout"])) * time.Millisecond, "cluster-node-timeout"
	}
	return 0, ""
}

// downAfter queries the sentinels. The shortest time counts.
func (in *inspection) downAfter(ctx context.Context) (least time.Duration) {
	for _, address := range in.Server.Addresses {
		found, err := in.sentinel(ctx, address)
		if err != nil {
			in.add(Warning, "sentinel "+address, "does not answer: %v", err)
			continue
		}
		after := time.Duration(number(found["down-after-milliseconds"])) * time.Millisecond
		in.add(Fine, "sentinel "+address, "watches %s at %s, with a quorum of %s; down after %v", in.Server.Sentinel.Master, found["ip"]+":"+found["port"], found["quorum"], after)
		if after > 0 && (least == 0 || after < least) {
			least = after
		}
	}
	return least
}

// sentinel queries one sentinel about the server.
func (in *inspection) sentinel(ctx context.Context, address string) (map[string]string, error) {
	s := in.Server
	connection := valkey.NewConnection(valkey.Server{Addresses: []string{address}, Username: s.Sentinel.Username, Password: s.Sentinel.Password, TLS: s.TLS}, 0)
	if err := connection.Connect(); err != nil {
		return nil, err
	}
	c, _ := connection.Client() // Connect has made the client
	defer c.Close()
	found, err := c.Do(ctx, c.B().Arbitrary("SENTINEL", "MASTER", s.Sentinel.Master).Build()).AsStrMap()
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", s.Sentinel.Master, err)
	}
	if len(found) == 0 {
		return nil, errors.New("it says nothing")
	}
	return found, nil
}
