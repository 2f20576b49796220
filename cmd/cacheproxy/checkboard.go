package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"cacheproxy/config"
	"cacheproxy/leaderboard"
	"cacheproxy/leaderboard/api"
	"cacheproxy/policy"

	inspect "cacheproxy/cmd/cacheproxy/valkey"
)

// Memory on the server, in bytes, for names of a dozen bytes, as measured by BenchmarkMemory of leaderboard/valkey.
const (
	smallPlace  = 34  // a place in a bucket of up to smallBucket places
	largePlace  = 129 // a place in a larger bucket
	smallBucket = 128
	shownPlace  = 230 // a place on the board
	keptPlayer  = 350 // a player, where all players are kept
	keptPart    = 24  // a player in each further bucket, where scores are added up
	keptEach    = 400 // a submission, where all submissions are kept
)

// reportRecords prints where boards are kept.
func reportRecords(t table, s *config.Snapshot) {
	if len(s.Boards) == 0 || s.Records == nil {
		return
	}
	r := s.Records
	t.title("records of boards")
	switch {
	case r.Memory:
		t.row("server", "none: they are in this process, and end with it")
		return
	case !r.Apart:
		t.row("server", r.Shown()+", which has the copies too")
	default:
		t.row("server", r.Shown())
		t.row("login", login(&config.Valkey{Server: r.Server}))
		t.row("tls", upstreamTLSOf(r.Server.TLS))
	}
	t.rowf("keys", "begin with %s; what belongs to a board is in one slot, so that a board is on one node", r.Prefix)
	longer := ""
	if slices.ContainsFunc(durabilities(s), func(d leaderboard.Durability) bool { return d != leaderboard.InMemory }) {
		longer = fmt.Sprintf(", a submission with durability: fsync or replicas after %s", config.DurationText(3*r.Timeout))
	}
	t.rowf("time", "that of the server; what takes longer than %s is answered with 503%s", config.DurationText(r.Timeout), longer)
}

// reportBoard prints the boards of a route and the promises about them.
func reportBoard(t table, r *policy.Route, b *api.Route, s *config.Snapshot) {
	t.rowf("boards", "%s, up to %s; the route is part of their names, and renaming it begins new ones", r.Board.String(), count(b.Rules.MaxBoards, "board"))
	t.row("a score", fmt.Sprintf("%q of %q, from %s to %s; %s; of equal ones %s first", b.Score, b.Player, plain(b.MinScore), plain(b.MaxScore),
		map[leaderboard.Aggregate]string{
			leaderboard.Best: "the best of a player counts", leaderboard.Lowest: "the lowest of a player counts, and stands first", leaderboard.Sum: "those of a player are added up",
			leaderboard.Last: "the latest of a player counts", leaderboard.Every: "each stands for itself",
		}[b.Rules.Aggregate],
		map[leaderboard.Ties]string{leaderboard.Earlier: "who reached it earlier stands", leaderboard.ByName: "the name decides who stands"}[b.Rules.Ties]))
	t.row("window", windowOf(b.Rules.Window))
	t.row("ranks", ranksOf(b.Rules))
	t.row("memory", memoryOf(b.Rules))
	asked := "nobody is asked whether the client may"
	if b.AuthorizeUpstream != "" {
		asked = "upstream " + b.AuthorizeUpstream + " allows it at " + b.AuthorizePath + ", for 5s the same"
	}
	safe := map[leaderboard.Durability]string{
		leaderboard.InMemory: "the server has it", leaderboard.Synced: "it is on the server's disk", leaderboard.Replicas: "a replica has it too",
	}[b.Rules.Durability]
	t.rowf("a submission", "is acknowledged with 200 when %s, and %s; a key of idempotency is known for %s", asked, safe, config.DurationText(b.Rules.Repeats))
	t.row("lost", lostOf(b, s))
	t.rowf("a read", "shows what was acknowledged %s before, and what this instance acknowledged at once", config.DurationText(api.Fresh))
	t.row("store down", "submissions and reads fail with 503; the upstream is not asked in their place")
	switch {
	case b.Archive == nil:
		t.row("archive", "none: what leaves the window is gone")
	default:
		text := "closed buckets"
		if b.Archive.Submissions {
			text += ", and each submission"
		}
		kept := "for ever"
		if b.Archive.Retention > 0 {
			kept = "for " + config.DurationText(b.Archive.Retention)
		}
		t.rowf("archive", "%s at %s, %s; an empty server is filled from there before it is read", text, s.Postgres.Shown(), kept)
	}
}

func plain(score float64) string {
	switch score {
	case leaderboard.Exact:
		return "2^53"
	case -leaderboard.Exact:
		return "-2^53"
	}
	return fmt.Sprintf("%.17g", score)
}

func windowOf(w leaderboard.Window) string {
	bucket := config.DurationText(w.Bucket)
	switch w.Span {
	case leaderboard.AllTime:
		return "all time"
	case leaderboard.Day, leaderboard.Week:
		begins := "midnight"
		if w.Span == leaderboard.Week {
			begins = "midnight before Monday"
		}
		return fmt.Sprintf("the %s since %s in %s, whatever its clocks do", config.WindowText(w), begins, w.Location)
	}
	return fmt.Sprintf("the last %s, sliding by %s: an entry is shown that long too long at most, and never too short", config.DurationText(w.Length), bucket)
}

func ranksOf(r *leaderboard.Rules) string {
	switch {
	case r.Top == 0:
		return "every player has one"
	case r.Aggregate == leaderboard.Sum || r.Aggregate == leaderboard.Last:
		return fmt.Sprintf("the first %d; the others are kept too, since one of them can be among these later", r.Top)
	}
	return fmt.Sprintf("the first %d of each bucket, of which no other can be on the board; who is beyond them is told so", r.Top)
}

// memoryOf is the most memory that a board takes, as far as the configuration bounds it.
func memoryOf(r *leaderboard.Rules) string {
	buckets := int64(1)
	if r.Window.Span == leaderboard.Rolling {
		buckets = int64(r.Window.Length/r.Window.Bucket) + 1
	}
	switch {
	case r.Aggregate == leaderboard.Every && r.Top == 0:
		return fmt.Sprintf("not bounded: submissions within the window × about %d bytes", keptEach)
	case r.Aggregate == leaderboard.Sum && r.Window.Span == leaderboard.Rolling:
		return fmt.Sprintf("not bounded: players within the window × about %d bytes, and %d for each further bucket in which one submits", keptPlayer, keptPart)
	case r.Top == 0 || r.Aggregate == leaderboard.Sum || r.Aggregate == leaderboard.Last:
		return fmt.Sprintf("not bounded: players within the window × about %d bytes", keptPlayer)
	}
	place := int64(smallPlace)
	if r.Top > smallBucket {
		place = largePlace
	}
	text := fmt.Sprintf("of a board: %d places × about %d bytes", r.Top, shownPlace)
	bytes := int64(r.Top) * shownPlace
	if r.Window.Span == leaderboard.Rolling {
		text += fmt.Sprintf(" + %d buckets × %d places × about %d bytes", buckets, r.Top, place)
		bytes += buckets * int64(r.Top) * place
	}
	text += " = " + config.SizeText(about(bytes))
	if r.Archived {
		text += "; more while the archive cannot take closed buckets"
	}
	return text
}

// about rounds a size up to two or more significant digits.
func about(bytes int64) int64 {
	for unit := int64(1 << 40); unit > 1; unit >>= 10 {
		if bytes >= 10*unit {
			return (bytes + unit - 1) / unit * unit
		}
	}
	return bytes
}

// lostOf says which acknowledged scores a failure loses.
func lostOf(b *api.Route, s *config.Snapshot) string {
	if s.Records == nil || s.Records.Memory {
		return "everything with this process"
	}
	text := map[leaderboard.Durability]string{
		leaderboard.InMemory: "nothing with a proxy; with the server's process: what its append-only file has not yet on disk, a second of it with appendfsync everysec, everything without appendonly; in a failover: what no replica has yet",
		leaderboard.Synced:   "nothing with a proxy, with the server's process, or with the power of an honest disk; in a failover: what no replica has yet",
		leaderboard.Replicas: "nothing with a proxy or with the server's machine, as long as the replica that has it is promoted; with all machines at once: what was not on a disk yet",
	}[b.Rules.Durability]
	if b.Archive != nil {
		text += "; of a server that comes back empty: what the archive has not taken, some seconds"
	}
	return text
}

// checkRecords inspects the server of the boards of a valid configuration, also where the server has the copies too.
func checkRecords(ctx context.Context, file string, s *config.Snapshot, t table, problems io.Writer) int {
	if len(s.Boards) == 0 || s.Records == nil || s.Records.Memory {
		return 0
	}
	use := inspect.Use{Server: s.Records.Server, Prefix: s.Records.Prefix, Timeout: s.Records.Timeout, Boards: durabilities(s), Archived: archived(s), Shared: !s.Records.Apart}
	if s.Records.Apart {
		t.row("records", s.Records.Shown())
	}
	return printFindings(t, problems, file+": records", inspect.InspectRecords(ctx, use))
}

func durabilities(s *config.Snapshot) (all []leaderboard.Durability) {
	for _, b := range s.Boards {
		if !slices.Contains(all, b.Rules.Durability) {
			all = append(all, b.Rules.Durability)
		}
	}
	slices.Sort(all)
	return all
}

func archived(s *config.Snapshot) bool {
	for _, b := range s.Boards {
		if b.Archive == nil {
			return false
		}
	}
	return true
}

// boardMode says what happens to a board's requests in a mode.
func boardMode(m policy.Mode) string {
	return map[policy.Mode]string{
		policy.On:      "on",
		policy.Observe: "observe: the upstream answers; submissions that it accepts (2xx) are recorded too, and shown once the route is switched on",
		policy.Off:     "off: the upstream answers, and nothing is recorded",
	}[m]
}
