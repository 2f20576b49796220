package instance

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"cacheproxy/admin"
	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// deadLog is a log that can be told nothing. It notes what was in force when it was tried.
type deadLog struct {
	entries
	tried func()
}

func (d deadLog) Announce(context.Context, invalidation.Notice) (invalidation.Receipt, error) {
	d.tried()
	return invalidation.Receipt{}, invalidation.ErrNotRecorded
}

func (r *reloading) modeOf(route string) string {
	r.t.Helper()
	for _, m := range r.modes() {
		if m.Route == route {
			return m.Mode
		}
	}
	return "none"
}

func off(route string) admin.ModeOrder {
	return admin.ModeOrder{Route: route, Mode: policy.Off, Share: 1, Who: "sre"}
}

// A mode goes through the log and is applied where the log is, on this instance too.
func TestModeThroughTheLog(t *testing.T) {
	r := newReloading(t)
	if got, err := r.setMode(t.Context(), off("all")); err != nil || !got.Held || r.modeOf("all") != "off" {
		t.Errorf("off: %+v, %v, mode %s", got, err, r.modeOf("all"))
	}
	if m := r.modes()[0]; m.Override == nil || m.Override.By != "sre" || m.Override.Until != nil {
		t.Errorf("override %+v", m.Override)
	}
	order := off("all")
	order.For = time.Hour
	if _, err := r.setMode(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	if until := r.modes()[0].Override.Until; until == nil || time.Until(*until) > time.Hour || time.Until(*until) < 59*time.Minute {
		t.Errorf("until %v", until)
	}
	if got, err := r.setMode(t.Context(), admin.ModeOrder{Route: "all", Reset: true}); err != nil || !got.Held || r.modeOf("all") != "on" {
		t.Errorf("reset: %+v, %v, mode %s", got, err, r.modeOf("all"))
	}
}

// The switch works here when the log is dead: at once where that is known, and in the end where it turns out.
func TestModeWithoutTheLog(t *testing.T) {
	for _, known := range []bool{true, false} {
		r := newReloading(t)
		before := ""
		r.entries = deadLog{r.entries, func() { before = r.modeOf("all") }}
		if known {
			r.fleet = &fleet{lease: invalidation.NewLease(time.Now())}
		}
		got, err := r.setMode(t.Context(), off("all"))
		if !errors.Is(err, invalidation.ErrNotRecorded) || got.Recorded || got.Held || r.modeOf("all") != "off" {
			t.Errorf("known %v: %+v, %v, mode %s", known, got, err, r.modeOf("all"))
		}
		if want := map[bool]string{true: "off", false: "on"}[known]; before != want {
			t.Errorf("known %v: mode %s when the log was tried, want %s", known, before, want)
		}
	}
}

// What is said of a route that is not there holds when a configuration brings it, and one that goes and comes back is as it
// was left.
func TestModeOfARouteToCome(t *testing.T) {
	r := newReloading(t)
	n, err := noticeOf(off("new"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.entries.Announce(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	with := strings.ReplaceAll(strings.Replace(reloadingRoutes, "routes: [", "routes: [{name: new, match: GET /new, upstream: a, policy: cache-aside, ttl: 1h}, ", 1), "URL", r.url)
	r.with(with)
	if got := r.modeOf("new"); got != "off" {
		t.Errorf("the new route is %s", got)
	}
	r.with(with + "drain_delay: 1s\n")
	if got := r.modeOf("new"); got != "off" {
		t.Errorf("after another reload it is %s", got)
	}
	r.with("")
	if got := r.modeOf("new"); got != "none" {
		t.Fatalf("it is still there: %s", got)
	}
	r.with(with)
	if got := r.modeOf("new"); got != "off" {
		t.Errorf("the route that came back is %s", got)
	}
	if _, err := r.entries.Announce(t.Context(), invalidation.Notice{Subject: n.Subject}); err != nil || r.modeOf("new") != "on" {
		t.Errorf("taken back: %s, %v", r.modeOf("new"), err)
	}
	r.with("")
	r.with(with)
	if got := r.modeOf("new"); got != "on" {
		t.Errorf("what was taken back is in force again: %s", got)
	}
}

// Who hears of a mode late has less of it left, and a clock that is wrong makes it no longer.
func TestModeRunsOut(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		at   time.Duration // after it was said, by the hearer's clock
		left time.Duration
		ok   bool
	}{{0, time.Hour, true}, {50 * time.Minute, 10 * time.Minute, true}, {-time.Hour, time.Hour, true}, {time.Hour, 0, false}, {2 * time.Hour, -time.Hour, false}} {
		s := switched{Until: now.Add(time.Hour), For: time.Hour}
		if left, ok := s.left(now.Add(c.at)); left != c.left || ok != c.ok {
			t.Errorf("%v after: %v left, %v", c.at, left, ok)
		}
	}
	if left, ok := (switched{}).left(now); left != 0 || !ok {
		t.Errorf("for good: %v, %v", left, ok)
	}
	r := newReloading(t)
	order := off("all")
	order.For = time.Minute
	n, err := noticeOf(order, time.Now().Add(-2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	r.switches.heed(n)
	if got := r.modeOf("all"); got != "on" {
		t.Errorf("a mode that has run out is in force: %s", got)
	}
}

// What cannot be understood changes nothing.
func TestOddNotices(t *testing.T) {
	r := newReloading(t)
	if _, err := r.setMode(t.Context(), off("all")); err != nil {
		t.Fatal(err)
	}
	for _, n := range []invalidation.Notice{
		{Subject: "weather/all", Body: []byte("fine")}, {Subject: "mode/all", Body: []byte("{")}, {Subject: "mode/all", Body: []byte(`{"mode":"paused"}`)},
	} {
		r.switches.heed(n)
		if got := r.modeOf("all"); got != "off" {
			t.Errorf("%s %s: mode %s", n.Subject, n.Body, got)
		}
	}
}

// The body is read by other versions: its names are a contract.
func TestNoticeOfMode(t *testing.T) {
	n, err := noticeOf(admin.ModeOrder{Route: "a/b", Mode: policy.Observe, Share: 0.5, For: time.Minute, Who: "sre"}, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	if err != nil || n.Subject != "mode/a/b" || string(n.Body) != `{"mode":"observe","share":0.5,"until":"2030-01-02T03:05:05Z","for_ns":60000000000,"by":"sre"}` {
		t.Errorf("%s %s %v", n.Subject, n.Body, err)
	}
	if n, err := noticeOf(admin.ModeOrder{Route: "a", Reset: true}, time.Now()); err != nil || len(n.Body) > 0 {
		t.Errorf("reset: %s %v", n.Body, err)
	}
	if !json.Valid(n.Body) {
		t.Error("not JSON")
	}
}
