package main

import (
	"fmt"
	"strings"

	"cacheproxy/config"
	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// reportValkey prints what instances share, and the promises that follow.
func reportValkey(t table, v *config.Valkey) {
	t.title("valkey")
	server := v.Shown()
	switch {
	case v.Cluster():
		server += ", a cluster"
	case v.Server.Sentinel != nil && v.Server.TLS != nil:
		server += ", over TLS"
	}
	t.row("server", server)
	t.row("login", login(v))
	t.row("tls", upstreamTLSOf(v.Server.TLS))
	t.rowf("keys", "begin with %s: instances with another prefix are another fleet", v.Prefix)
	t.row("signatures", signatures(v))
	bodies := "as they are"
	if v.Compress {
		bodies = "compressed with zstd"
	}
	t.rowf("copies", "of one instance serve all, %s; a read that takes longer than %s is a miss", bodies, config.DurationText(v.Timeout))
	t.rowf("a purge", "is answered with 200 when it holds on every instance; one that has died or is cut off holds it up for %s, once", config.DurationText(v.Lease+invalidation.Margin(v.Lease)))
	t.rowf("lease", "an instance without news of purges uses copies for %s at most, then as each route says", config.DurationText(v.Lease))
	durable := "acknowledged when the server has it: a failover can lose the last of it, which the instances that are left notice and put right"
	if v.Replicas > 0 {
		durable = "acknowledged when a replica has it, too; without one, no purge is confirmed. check --live says what the server has to be set to"
	}
	t.row("durability", durable)
	start := "without it where it cannot be reached, and says so"
	if v.Required {
		start = "fails where it cannot be reached"
	}
	t.row("a start", start)
}

// signatures says what keeps others from writing in place of an instance.
func signatures(v *config.Valkey) string {
	switch {
	case len(v.Secrets) == 0:
		return "none: whoever can write to it can put answers of his own in the place of copies"
	case !v.Signed:
		return "are written, and verified where they are; what has none is taken"
	}
	return "are required of copies and entries of the log: what no instance has signed is not used"
}

func login(v *config.Valkey) string {
	var parts []string
	if v.Server.Username != "" {
		parts = append(parts, "user "+v.Server.Username)
	}
	if v.Server.Password != "" {
		parts = append(parts, "with a password")
	}
	if s := v.Server.Sentinel; s != nil && s.Password != "" {
		parts = append(parts, "sentinels with another")
	}
	return strings.Join(parts, ", ")
}

// onLeaseLoss says what reads do while the instance is cut off from the log.
func onLeaseLoss(r *policy.Route, v *config.Valkey) string {
	switch {
	case !r.Caches:
		return ""
	case r.OnLeaseLoss == policy.LeaseLossServeStale:
		return fmt.Sprintf("after %s, copies in memory are served for %s more, whatever was purged and confirmed meanwhile; then no copy is used",
			config.DurationText(v.Lease), config.DurationText(r.LeaseLossMax))
	}
	return "after " + config.DurationText(v.Lease) + ", no copy is used until there is; requests for one answer still share one fetch"
}
