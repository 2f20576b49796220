package config

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
	_ "time/tzdata" // a time zone means the same on every machine

	"cacheproxy/leaderboard"
	"cacheproxy/leaderboard/api"
	"cacheproxy/policy"
)

var (
	aggregates = []choice[leaderboard.Aggregate]{
		{"best", leaderboard.Best}, {"lowest", leaderboard.Lowest}, {"sum", leaderboard.Sum}, {"last", leaderboard.Last}, {"submissions", leaderboard.Every},
	}
	ties              = []choice[leaderboard.Ties]{{"earlier", leaderboard.Earlier}, {"name", leaderboard.ByName}}
	boardDurabilities = []choice[leaderboard.Durability]{{"none", leaderboard.InMemory}, {"fsync", leaderboard.Synced}, {"replicas", leaderboard.Replicas}}
	spans             = []choice[leaderboard.Span]{{"all-time", leaderboard.AllTime}, {"day", leaderboard.Day}, {"week", leaderboard.Week}}

	ranks   = one("number, or all", parseRanks, func(n int) any { return ranksText(n) })
	aWindow = one("duration, or a word", parseWindow, func(w leaderboard.Window) any { return WindowText(w) })
	aScore  = one("score", parseScore, asItIs)
)

const (
	// maxRanks bounds the ranks of one read, and the entries kept of each bucket.
	maxRanks = 10_000
	// slowRanks is the number of ranks up to which the server computes a board in some tens of milliseconds
	// (docs/evidence.md).
	slowRanks = 2000
	// maxBuckets bounds the number of buckets that make up the board of a rolling window.
	maxBuckets = 5000
)

func parseRanks(text string) (int, error) {
	if text == "all" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxRanks {
		return 0, fmt.Errorf("is neither all nor a number from 1 to %d; write 100, the default", maxRanks)
	}
	return n, nil
}

func ranksText(n int) any {
	if n == 0 {
		return "all"
	}
	return n
}

func parseWindow(text string) (w leaderboard.Window, err error) {
	if w.Span, err = pick(text, spans); err == nil {
		return w, nil
	}
	w.Span = leaderboard.Rolling
	if w.Length, err = parseDuration(text); err != nil {
		return w, errors.New("is neither a duration nor a window; write 24h, all-time, day or week")
	}
	if w.Length == 0 {
		return w, errors.New("shows nothing; write 24h, all-time, day or week")
	}
	return w, nil
}

// WindowText is a window as a file would have it.
func WindowText(w leaderboard.Window) string {
	if w.Span == leaderboard.Rolling {
		return DurationText(w.Length)
	}
	return word(spans, w.Span)
}

func parseScore(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(math.Abs(n) <= leaderboard.Exact) {
		return 0, errors.New("is not a number up to 2^53 either way; write one such as 0")
	}
	return n, nil
}

// compileBoard compiles the boards of a route.
func compileBoard(doc *part, r *policy.Route, s *Snapshot) {
	section := doc.Part("leaderboard")
	switch {
	case r.Policy != policy.Leaderboard || doc.spoiled("leaderboard"):
		return
	case !section.written():
		doc.problem("leaderboard", "is missing; write leaderboard: {board: \"{game}\", window: 24h, authorize: {upstream: NAME, path: /may-score}}")
		return
	}
	section.there = true
	checkBoardPatterns(doc, r)
	compileBoardName(doc, section, r)
	b := &api.Route{
		Player: section.text("player"), Score: section.text("score"), MinScore: -leaderboard.Exact, MaxScore: leaderboard.Exact, MaxBatch: section.number("max_batch"),
		Rules: &leaderboard.Rules{
			Route: r.Name, Aggregate: read[leaderboard.Aggregate](section, "aggregate"), Ties: read[leaderboard.Ties](section, "ties"), Window: compileWindow(section),
			Top: read[int](section, "ranks"), MaxBoards: section.number("max_boards"), Durability: read[leaderboard.Durability](section, "durability"),
			Repeats: section.duration("remember"),
		},
	}
	if b.Player == b.Score || b.Player == "" || b.Score == "" {
		section.problem("player", "%s and score %s are not the names of two fields; write player: player, score: score", quote(b.Player), quote(b.Score))
	}
	compileScores(section, b)
	b.AuthorizeUpstream, b.AuthorizePath = compileAuthorize(section, s.Upstreams)
	compileAnswers(section.Part("answer"), b)
	compileArchive(section, b, s)
	warnOfBoard(doc, section, r, b, s)
	s.Boards[r.Name] = b
}

// checkBoardPatterns refuses requests that are neither submissions nor reads: a board route has no meaning for them.
func checkBoardPatterns(doc *part, r *policy.Route) {
	if doc.spoiled("match") {
		return
	}
	other := slices.IndexFunc(r.Patterns, func(p policy.Pattern) bool { return p.Method() != http.MethodPost && p.Method() != http.MethodGet })
	const both = "write match: [\"POST /games/{game}/scores\", \"GET /games/{game}/leaderboard\"]"
	switch {
	case other >= 0:
		doc.problem("match", "%s has requests that are neither submissions (POST) nor reads (GET); %s", quote(r.Patterns[other].String()), both)
	case !asksFor(r, http.MethodPost) || !asksFor(r, http.MethodGet):
		doc.problem("match", "needs a pattern with POST for submissions and one with GET for reads; %s", both)
	}
}

// compileBoardName takes only placeholders that every request of the route has. Where the upstream tells hosts apart,
// the name must contain the host. Otherwise the clients of one site would read what clients of another site submitted.
func compileBoardName(doc, section *part, r *policy.Route) {
	text := section.text("board")
	if text == "" || section.spoiled("board") || doc.spoiled("match") {
		return
	}
	t, ok := compileTemplate(section, r, "board", text)
	if !ok {
		return
	}
	named := r.Host.Literal != "" || !slices.ContainsFunc(r.Patterns, func(p policy.Pattern) bool { return p.Host() == "" })
	for _, p := range t.Placeholders() {
		switch p.Kind {
		case policy.FromWildcard:
		case policy.FromHost:
			named = true
		default:
			section.problem("board", "names %s of the query, a header, a cookie or the body, which a request may lack; name wildcards of the path, or {host}", quote(p.Name))
		}
	}
	if !named {
		section.problem("board", "%s is the same board on every host, and the upstream tells hosts apart, so that one site would read the scores of another; write %s, or a host in each pattern of match, or host: upstream in the upstream if there is one site", quote(text), quote("{host}/"+text))
	}
	r.Board = t
}

func compileWindow(doc *part) leaderboard.Window {
	w := read[leaderboard.Window](doc, "window")
	w.Bucket = doc.duration("bucket")
	calendar := w.Span == leaderboard.Day || w.Span == leaderboard.Week
	where, err := time.LoadLocation(doc.text("time_zone"))
	switch w.Location = where; {
	case err != nil || doc.text("time_zone") == "Local":
		doc.problem("time_zone", "%s is not a time zone; write a name such as Europe/Berlin, or UTC", quote(doc.text("time_zone")))
		w.Location = time.UTC
	case doc.has("time_zone") && !calendar:
		doc.problem("time_zone", "has no effect with window: %s; remove it, or write window: day or week", WindowText(w))
	}
	switch {
	case doc.spoiled("window") || doc.spoiled("bucket") || w.Bucket == 0:
	case w.Bucket < time.Second || w.Bucket%time.Second != 0:
		doc.problem("bucket", "is not a whole number of seconds; write 1m, the default")
	case w.Span != leaderboard.Rolling:
		if w.Bucket > 24*time.Hour {
			doc.problem("bucket", "is longer than a day; write 1m, the default")
		}
	case w.Length%w.Bucket != 0:
		doc.problem("bucket", "%s does not fit into the window of %s a whole number of times; write one that does", DurationText(w.Bucket), DurationText(w.Length))
	case w.Length/w.Bucket > maxBuckets:
		doc.problem("bucket", "makes %d buckets of the window, and each read of a new one puts them together; write %s or more", w.Length/w.Bucket, DurationText((w.Length/maxBuckets).Truncate(time.Second)+time.Second))
	}
	return w
}

func compileScores(doc *part, b *api.Route) {
	if doc.has("min_score") && !doc.spoiled("min_score") {
		b.MinScore = read[float64](doc, "min_score")
	}
	if doc.has("max_score") && !doc.spoiled("max_score") {
		b.MaxScore = read[float64](doc, "max_score")
	}
	if b.MinScore > b.MaxScore {
		doc.problem("max_score", "is less than min_score, so that no score is taken; write a greater one")
	}
}

// compileAnswers reads the templates of the answers to clients.
func compileAnswers(doc *part, b *api.Route) {
	doc.there = doc.written()
	for _, form := range []struct {
		name  string
		to    *api.Form
		names []string
	}{
		{"board", &b.Shape.Board, api.BoardNames}, {"entry", &b.Shape.Entry, api.EntryNames},
		{"player", &b.Shape.Player, api.PlayerNames}, {"receipt", &b.Shape.Receipt, api.ReceiptNames},
	} {
		f, err := api.ParseForm(doc.text(form.name), form.names)
		if err != nil && !doc.spoiled(form.name) {
			doc.problem(form.name, "%w", err)
		}
		*form.to = f
	}
}

func compileArchive(section *part, b *api.Route, s *Snapshot) {
	doc := section.Part("archive")
	if !doc.written() {
		return
	}
	doc.there = true
	b.Archive = &api.Archive{Submissions: doc.flag("submissions"), Retention: doc.duration("retention")}
	b.Rules.Archived, b.Rules.Submitted = true, b.Archive.Submissions
	shown := b.Rules.Window.Length
	switch b.Rules.Window.Span {
	case leaderboard.Day:
		shown = 25 * time.Hour
	case leaderboard.Week:
		shown = 8 * 24 * time.Hour
	}
	switch {
	case s.Postgres == nil:
		section.problem("archive", "goes to PostgreSQL; add postgres: {url: ...}, or remove it")
	case s.Records != nil && s.Records.Memory:
		section.problem("archive", "has no effect with records that are in memory; name a server in records.url")
	case b.Archive.Retention > 0 && b.Rules.Window.Span == leaderboard.AllTime:
		doc.problem("retention", "would take from the archive what the board of all time shows; remove it, or write another window")
	case b.Archive.Retention > 0 && b.Archive.Retention < shown+b.Rules.Window.Bucket:
		doc.problem("retention", "is shorter than the window, which could not be read back from the archive; write %s or more", DurationText(shown+b.Rules.Window.Bucket))
	}
}

// warnOfBoard warns of the risks that the owner of the route accepts, and refuses combinations that cannot work.
func warnOfBoard(route, doc *part, r *policy.Route, b *api.Route, s *Snapshot) {
	switch rules := b.Rules; {
	case s.Records == nil:
		route.problem("policy", "%s keeps scores on Valkey; add records: {url: ...} or valkey: {url: ...}", r.Policy)
	case s.Records.Memory:
		route.warn("policy", "scores are in the memory of this process, and gone when it ends (records.url: memory)")
		if rules.Durability != leaderboard.InMemory {
			doc.problem("durability", "cannot be kept in memory; name a server in records.url, or write durability: none")
		}
	case !s.Records.Apart:
		route.warn("policy", "scores are kept on the server of the copies, where a full memory makes keys give way: check --live says which; a server of their own is records: {url: ...}")
	}
	if b.AuthorizeUpstream == "" {
		doc.warn("authorize", "none takes any score for any player from anybody")
	}
	for _, p := range r.Board.Placeholders() {
		bounded := r.Where[policy.Placeholder{Kind: policy.FromWildcard, Name: p.Name}] != nil
		if p.Kind == policy.FromWildcard && !bounded {
			doc.warn("board", "{%s} is whatever a client writes: anybody who may submit can make max_boards of them, and then no new one is made; write where: {%s: \"chess|go\"} if all are known", p.Name, p.Name)
		}
		if p.Kind == policy.FromHost {
			doc.warn("board", "{host} is whatever a client writes; write the hosts into match if all are known")
		}
	}
	if rules := b.Rules; rules.Window.Span == leaderboard.Rolling && rules.Top > slowRanks && rules.Aggregate != leaderboard.Sum && rules.Aggregate != leaderboard.Last {
		doc.warn("ranks", "%d have the server put the board together for %d ms or so, once a bucket, while nothing else of it is answered; write %d or less where that matters", rules.Top, rules.Top*18/1000, slowRanks)
	}
	if r.Mode == policy.Observe {
		route.warn("mode", "observe: submissions go to the upstream, and what it accepts is recorded besides; an answer waits for that, for %s where the records do not answer", DurationText(timeoutOf(s, b.Rules.Durability)))
	}
}

// timeoutOf is how long a submission waits. Where a submission has to be proved safe, the server has further time for
// the proof (package durable/valkey).
func timeoutOf(s *Snapshot, d leaderboard.Durability) time.Duration {
	timeout := recordsTimeout
	if s.Records != nil {
		timeout = s.Records.Timeout
	}
	if d != leaderboard.InMemory {
		timeout *= 3
	}
	return timeout
}
