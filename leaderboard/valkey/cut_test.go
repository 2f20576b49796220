package valkey

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/test/servers"
)

// To cut a bucket that the archive has costs the server what stays of it, and not what goes: it does nothing else meanwhile.
func TestLargeBucketIsCut(t *testing.T) {
	v := servers.Valkey(t, servers.ValkeyOptions{Program: servers.ValkeyProgram})
	r, rules := open(t, v), daily(3)
	rules.Archived, rules.Window.Bucket = true, time.Second
	if _, err := r.Empty(t.Context(), rules); err != nil {
		t.Fatal(err)
	}
	b := rules.BucketOf(time.Now().Add(-time.Minute))
	b.Board = "b"
	const many = 100_000
	all := make([]leaderboard.Member, many)
	for i := range all {
		all[i] = leaderboard.Member{Player: fmt.Sprint("player-", i), Score: float64(i), At: b.Start.Add(time.Duration(i) * time.Microsecond)}
	}
	if err := r.Load(t.Context(), rules, b, all); err != nil {
		t.Fatal(err)
	}
	if err := r.Loaded(t.Context(), rules, ""); err != nil {
		t.Fatal(err)
	}
	b.Closed = true
	busy := func() (seconds float64) { // of the thread that runs commands, however many others wait for the processor
		info, err := v.CLI(t.Context(), "info", "cpu")
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`used_cpu_\w+_main_thread:([0-9.]+)`).FindAllStringSubmatch(info, -1) {
			n, err := strconv.ParseFloat(found[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			seconds += n
		}
		return seconds
	}
	before := busy()
	if done, err := r.Archived(t.Context(), rules, b, many); !done || err != nil {
		t.Fatal(done, err)
	}
	took := busy() - before
	t.Logf("cut of %d to %d: %.1f ms", many, rules.Top, 1000*took)
	kept, err := r.Members(t.Context(), rules, b, 0, 10)
	if err != nil || len(kept) != 3 || kept[0].Score != many-1 || kept[2].Score != many-3 || !kept[0].At.Equal(all[many-1].At) {
		t.Errorf("%+v, %v", kept, err)
	}
	if took > 0.03 {
		t.Errorf("the cut took %.1f ms of the server", 1000*took)
	}
}
