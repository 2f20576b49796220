package main

import (
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
	unreached := strings.Replace(lines[1], `"b"`, `"a/b"`, 1)
	if _, err := readScores(strings.NewReader(lines[0]+unreached), b, names, time.Now()); err == nil || !strings.Contains(err.Error(), `line 2: no request is about board "a/b"`) {
		t.Errorf("a board that no request is about: %v", err)
	}
}
