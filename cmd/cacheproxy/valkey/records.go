package valkey

import (
	"context"
	"strconv"
	"strings"

	durable "cacheproxy/durable/valkey"
	"cacheproxy/leaderboard"

	kept "cacheproxy/leaderboard/valkey"
)

// InspectRecords inspects the server of boards for what its failures would lose.
func InspectRecords(ctx context.Context, u Use) []Finding {
	return inspect(ctx, u, func(ctx context.Context, in *inspection) {
		for _, n := range in.nodes(ctx) {
			in.roomForRecords(n)
			in.recordsOnDisk(n)
			in.recordsElsewhere(n)
		}
		for _, d := range u.Boards {
			in.promised(ctx, "boards", durabilityWords[d], kept.ProofOf(d))
		}
	})
}

// promised reports whether the server can keep a durability, of boards or of writes answered with 202.
func (in *inspection) promised(ctx context.Context, topic, word string, asked durable.Proof) {
	switch err := durable.Check(ctx, in.client, asked); {
	case durable.Unfit(err):
		in.add(wrong, topic, "durability: %s: %v", word, err)
	case err != nil:
		in.add(Warning, topic, "durability: %s: cannot be asked for: %v", word, err)
	default:
		in.add(Fine, topic, "durability: %s can be kept", word)
	}
}

var durabilityWords = map[leaderboard.Durability]string{leaderboard.InMemory: "none", leaderboard.Synced: "fsync", leaderboard.Replicas: "replicas"}

// roomForRecords checks what a full server does. Scores are no copies and exist nowhere else.
func (in *inspection) roomForRecords(n node) {
	limit, policy := n.room()
	switch {
	case limit == "" || policy == "":
		in.add(Warning, n.of("maxmemory-policy"), "cannot be asked for; look up that it is noeviction: else a full server throws scores away that it has acknowledged")
	case policy == "noeviction" && limit == "0":
		in.add(Warning, n.of("maxmemory"), "is not set: boards grow until the system ends the server; set it, and a full server refuses submissions with 503")
	case policy == "noeviction" && nearly(n.info["used_memory"], limit):
		in.add(Warning, n.of("maxmemory"), "%s bytes, of which %s are in use: the server is full, or nearly so, and refuses submissions with 503 then; raise it, or take boards away", limit, n.info["used_memory"])
	case policy == "noeviction":
		in.add(Fine, n.of("maxmemory"), "%s bytes, of which %s are in use; a full server refuses submissions with 503", limit, n.info["used_memory"])
	case in.Shared && strings.HasPrefix(policy, "volatile-"): // as copies need
		in.add(Warning, n.of("maxmemory-policy"), "is %s: a full server throws away copies, and with them what boards remember of idempotency keys, so that a submission that is sent again then counts again; keep boards on a server of their own (records: {url: ...})", policy)
	case limit == "0":
		in.add(Warning, n.of("maxmemory-policy"), "is %s, which throws scores away once maxmemory is set; set it to noeviction", policy)
	case strings.HasPrefix(policy, "allkeys-"):
		in.add(wrong, n.of("maxmemory-policy"), "is %s: a full server throws scores away that it has acknowledged; set it to noeviction, and keep copies on another server (records: {url: ...})", policy)
	default:
		in.add(wrong, n.of("maxmemory-policy"), "is %s: a full server throws keys with a lifetime away, among them what the boards remember of idempotency keys and of buckets; set it to noeviction, and keep copies on another server (records: {url: ...})", policy)
	}
}

// nearly reports whether nine tenths of a limit are used; false where a value is unknown.
func nearly(used, limit string) bool {
	u, err := strconv.ParseInt(used, 10, 64)
	l, failed := strconv.ParseInt(limit, 10, 64)
	return err == nil && failed == nil && l > 0 && u >= l/10*9
}

// recordsOnDisk reports what a crash of the server's process loses.
func (in *inspection) recordsOnDisk(n node) {
	aof, fsync := n.info["aof_enabled"] == "1" || n.config["appendonly"] == "yes", n.config["appendfsync"]
	again := "; everything that was acknowledged since its start"
	if in.Archived {
		again = "; what the archive has not taken, some seconds: until the rest is read back, reads get 503"
	}
	switch {
	case n.info["aof_enabled"] == "" && n.config["appendonly"] == "":
		in.add(Warning, n.of("appendonly"), "cannot be asked for; look up that it is yes")
	case !aof && n.config["save"] != "":
		in.add(Warning, n.of("appendonly"), "is no: a crash of the server loses what came after its last snapshot (save %s); set appendonly yes", n.config["save"])
	case !aof:
		in.add(Warning, n.of("appendonly"), "is no, and there are no snapshots: a restart of the server loses%s; set appendonly yes", strings.TrimPrefix(again, ";"))
	case fsync == "always":
		in.add(Fine, n.of("appendonly"), "yes, appendfsync always: a crash loses nothing that was acknowledged")
	case fsync == "no":
		in.add(Warning, n.of("appendfsync"), "is no: the power of the machine takes what the system has not written yet, half a minute of it; set appendfsync everysec")
	case n.info["aof_delayed_fsync"] != "" && n.info["aof_delayed_fsync"] != "0":
		in.add(Warning, n.of("appendonly"), "the disk has kept the server waiting, %s times since it began: it answers nobody meanwhile, for a second and more, and scores are shown that much later; give it a disk that nothing else writes to", n.info["aof_delayed_fsync"])
	default:
		in.add(Fine, n.of("appendonly"), "yes: a crash of the process loses nothing that it has written, the power of the machine about a second, and nothing with durability: fsync")
	}
}

// recordsElsewhere reports what the loss of the machine loses.
func (in *inspection) recordsElsewhere(n node) {
	switch {
	case n.info["role"] == "":
	case n.replicas == 0 && in.Archived:
		in.add(Fine, n.of("replicas"), "none: with the machine, what the archive has not taken is lost, some seconds")
	case n.replicas == 0:
		in.add(Warning, n.of("replicas"), "none, and not every board has an archive: with the machine everything is lost; add a replica, or archive: {}")
	default:
		in.add(Fine, n.of("replicas"), "%d: a failover loses what the one that is promoted has not got yet, and nothing with durability: replicas as long as that is one that has it", n.replicas)
	}
}
