package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/leaderboard/api"
	"cacheproxy/policy"
)

// Each line is one submission where each stands for itself, with a time of its own within its bucket, whatever the order of the lines.
func TestImportedSubmissionsAreToldApart(t *testing.T) {
	b := &api.Route{Player: "player", Score: "score", MinScore: -leaderboard.Exact, MaxScore: leaderboard.Exact, Rules: &leaderboard.Rules{
		Aggregate: leaderboard.Every, Window: leaderboard.Window{Span: leaderboard.Rolling, Length: time.Hour, Bucket: time.Second}, Top: 10,
	}}
	template, err := policy.ParseTemplate("{game}")
	if err != nil {
		t.Fatal(err)
	}
	names := namesOf(&policy.Route{Board: template})
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	line := func(player, score string, at time.Time) string {
		return `{"board": "b", "player": "` + player + `", "score": ` + score + `, "at": "` + at.UTC().Format(time.RFC3339Nano) + `"}` + "\n"
	}
	late := at.Add(time.Second - time.Microsecond)
	lines := []string{line("a", "6", at), line("a", "5", at), line("b", "5", at), line("a", "5", at), line("a", "1", late), line("a", "1", late), line("a", "2", late)}
	read := func(lines ...string) map[string]int {
		s, err := readScores(strings.NewReader(strings.Join(lines, "")), b, names, time.Now())
		if err != nil || s.taken != len(lines) {
			t.Fatalf("%+v %v", s, err)
		}
		all := map[string]int{}
		for id, members := range s.buckets {
			for _, m := range members {
				if m.At.Before(id.start) || !m.At.Before(id.start.Add(time.Second)) {
					t.Errorf("%v is outside the bucket of %v", m, id.start)
				}
				all[m.Player+m.At.Format(time.RFC3339Nano)] = int(m.Score)
			}
		}
		return all
	}
	first := read(lines...)
	if len(first) != len(lines) {
		t.Errorf("%d lines are %d submissions: %v", len(lines), len(first), first)
	}
	again := read(lines[6], lines[3], lines[5], lines[1], lines[0], lines[4], lines[2])
	for id, score := range first {
		if again[id] != score {
			t.Errorf("in another order %s is %d, not %d", id, again[id], score)
		}
	}
}

// The reason for which no request can be about a board is what the user has to change: the form of names, or where.
func TestImportOfAnUnreachedBoard(t *testing.T) {
	template, err := policy.ParseTemplate("{game}")
	if err != nil {
		t.Fatal(err)
	}
	names := namesOf(&policy.Route{Board: template, Where: map[policy.Placeholder]*regexp.Regexp{{Kind: policy.FromWildcard, Name: "game"}: regexp.MustCompile("chess|go")}})
	b := &api.Route{Player: "player", Score: "score", MaxScore: leaderboard.Exact, Rules: &leaderboard.Rules{Window: leaderboard.Window{Span: leaderboard.AllTime, Bucket: time.Minute}}}
	const good = `{"board": "chess", "player": "a", "score": 5, "at": "2020-11-27T10:00:00Z"}` + "\n"
	for board, why := range map[string]string{
		"a/b":        "the route has leaderboard.board: {game}, of at most 256 bytes",
		"poker":      `the route has where: {game: "chess|go"}, which "poker" does not match as a whole`,
		"speedchess": `the route has where: {game: "chess|go"}, which "speedchess" does not match as a whole`,
	} {
		want := fmt.Sprintf("line 2: no request is about board %q: %s", board, why)
		if _, err := readScores(strings.NewReader(good+strings.Replace(good, "chess", board, 1)), b, names, time.Now()); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A line is read as strictly as a submission is, and a sum that would be rounded is refused. Of an import that is refused nothing is recorded.
func TestImportRefuses(t *testing.T) {
	template, err := policy.ParseTemplate("{game}")
	if err != nil {
		t.Fatal(err)
	}
	names := namesOf(&policy.Route{Board: template})
	b := &api.Route{Player: "player", Score: "score", MinScore: -leaderboard.Exact, MaxScore: leaderboard.Exact, Rules: &leaderboard.Rules{
		Aggregate: leaderboard.Sum, Window: leaderboard.Window{Span: leaderboard.AllTime, Bucket: time.Minute}, Top: 10,
	}}
	const good = `{"board": "b", "player": "a", "score": 9007199254740990, "at": "2020-11-27T10:00:00Z"}`
	for line, says := range map[string]string{
		`{"board": "b", "player": "a", "score": 1, "score": 2, "at": "2020-11-27T10:00:00Z"}`:       `"score" is there twice`,
		`{"board": "b", "player": "a", "score": 1, "\u0073core": 2, "at": "2020-11-27T10:00:00Z"}`:  `"score" is there twice`,
		`{"board": "b", "player": "a", "score": 1, "at": "2020-11-27T10:00:00Z", "more": 1}`:        `"more" is there twice, or is no field`,
		`{"Board": "b", "player": "a", "score": 1, "at": "2020-11-27T10:00:00Z"}`:                   `"Board" is there twice, or is no field`,
		"{\"board\": \"b\", \"player\": \"a\xff\", \"score\": 1, \"at\": \"2020-11-27T10:00:00Z\"}": "not UTF-8",
		`[1]`: "no object",
		`{"board": "b", "player": "a", "score": 1, "at": "yesterday"}`:             "parsing time",
		`{"board": "b", "player": "a", "score": 3, "at": "2020-11-27T11:00:00Z"}`:  "beyond 2^53",
		`{"board": "b", "player": "a", "score": -3, "at": "2020-11-27T10:00:00Z"}`: "beyond 2^53",
	} {
		if _, err := readScores(strings.NewReader(good+"\n"+line), b, names, time.Now().Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", line, err, says)
		}
	}
	other := strings.Replace(good, `"b"`, `"other"`, 1)
	if s, err := readScores(strings.NewReader(good+other+strings.Replace(good, "9007199254740990", "2", 1)), b, names, time.Now().Add(time.Hour)); err != nil || s.taken != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}

// What is in the future is no score that was reached before a route was observed.
func TestImportOfTheFuture(t *testing.T) {
	cmd := importCommand()
	cmd.SetArgs([]string{"no file", "scores", "--before", time.Now().Add(time.Hour).Format(time.RFC3339)})
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "is in the future") {
		t.Error(err)
	}
}
