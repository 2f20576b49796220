package writebehind

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// What follows from a try: what was not done for certain, or may be done twice (RFC 9110 §9.2.2), is tried again; what nobody knows
// anything about blocks its key; what the origin has refused does not.
func TestJudge(t *testing.T) {
	const (
		again  = "again"
		done   = "done"
		dead   = "dead"
		blocks = "dead, blocks"
	)
	timeout := Try{Sent: true, Problem: "origin-timeout"}
	unsent := Try{Problem: "origin-error"}
	answer := func(code int) Try { return Try{Sent: true, Status: code} }
	for _, c := range []struct {
		name     string
		method   string
		repeats  bool
		attempts int
		try      Try
		want     string
	}{
		{"PUT is taken", http.MethodPut, false, 1, answer(200), done},
		{"PUT creates", http.MethodPut, false, 1, answer(201), done},
		{"POST leads elsewhere (RFC 9110 §15.4.4)", http.MethodPost, false, 1, answer(303), done},
		{"a redirect that nobody follows", http.MethodPut, false, 1, answer(307), dead},
		{"PUT times out", http.MethodPut, false, 1, timeout, again},
		{"DELETE times out", http.MethodDelete, false, 1, timeout, again},
		{"DELETE is done by a try before", http.MethodDelete, false, 2, answer(404), done},
		{"DELETE of what is not there", http.MethodDelete, false, 1, answer(404), dead},
		{"PUT meets a failing origin", http.MethodPut, false, 1, answer(500), again},
		{"PUT meets one that is away", http.MethodPut, false, 1, answer(503), again},
		{"PUT was too slow (408)", http.MethodPut, false, 1, answer(408), again},
		{"PUT is refused", http.MethodPut, false, 1, answer(409), dead},
		{"PUT is refused by a condition of the origin's own", http.MethodPut, false, 1, answer(412), dead},
		{"POST times out", http.MethodPost, false, 1, timeout, blocks},
		{"PATCH times out", http.MethodPatch, false, 1, timeout, blocks},
		{"POST meets a failing origin", http.MethodPost, false, 1, answer(502), blocks},
		{"POST was too slow", http.MethodPost, false, 1, answer(408), blocks},
		{"POST was not sent", http.MethodPost, false, 1, unsent, again},
		{"POST is too many (RFC 6585 §4)", http.MethodPost, false, 1, answer(429), again},
		{"POST is too early (RFC 8470 §5.2)", http.MethodPost, false, 1, answer(425), again},
		{"POST is refused", http.MethodPost, false, 1, answer(422), dead},
		{"POST of an API that heeds the key times out", http.MethodPost, true, 1, timeout, again},
		{"PATCH of such an API meets a failing origin", http.MethodPatch, true, 1, answer(500), again},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Now()
			v := judge(&Write{Method: c.method, Repeats: c.repeats, MaxAge: time.Hour}, c.attempts, now.Add(-time.Minute), now, c.try, 0.5)
			got := map[State]string{flushed: done, Waiting: again, Dead: dead}[v.State]
			if v.Blocks {
				got += ", blocks"
			}
			if got != c.want {
				t.Errorf("%s, want %s (%s)", got, c.want, v.Problem)
			}
			if v.State == Waiting && v.Wait <= 0 {
				t.Error("it is tried again at once")
			}
		})
	}
}

// An origin that did not answer in time may be at work on the write yet.
func TestJudgeWaitsForTheOrigin(t *testing.T) {
	now := time.Now()
	try := Try{Sent: true, Problem: "origin-timeout", AtWork: 20 * time.Second}
	if v := judge(&Write{Method: http.MethodPut, MaxAge: time.Hour}, 1, now, now, try, 0); v.State != Waiting || v.Wait != try.AtWork {
		t.Errorf("%+v, want a pause of %v", v, try.AtWork)
	}
	for _, ago := range []time.Duration{time.Hour - time.Second, time.Hour + time.Second} { // shortly before it is too old, and after
		v := judge(&Write{Method: http.MethodPut, MaxAge: time.Hour}, 9, now.Add(-ago), now, try, 0)
		if dead := ago > time.Hour; dead != (v.State == Dead) || !dead && v.Wait != try.AtWork || dead && v.AtWork != try.AtWork {
			t.Errorf("first tried %v ago: %+v, want the key to wait for %v", ago, v, try.AtWork)
		}
	}
	if v := judge(&Write{Method: http.MethodPost, MaxAge: time.Hour}, 1, now, now, try, 0); v.State != Dead || !v.Blocks || v.AtWork != try.AtWork {
		t.Errorf("%+v, want a dead letter whose key rests for %v", v, try.AtWork)
	}
}

func TestJudgeTooOld(t *testing.T) {
	now := time.Now()
	w := &Write{Method: http.MethodPut, MaxAge: time.Hour}
	v := judge(w, 50, now.Add(-61*time.Minute), now, Try{Sent: true, Status: 503}, 0)
	if v.State != Dead || v.Blocks || !strings.HasPrefix(v.Problem, "too old") {
		t.Errorf("%+v, want a dead letter that does not block", v)
	}
	for _, of := range []struct{ tried, asked, want time.Duration }{
		{-time.Minute, 24 * time.Hour, longestAsked},
		{-50 * time.Minute, 24 * time.Hour, 10 * time.Minute}, // the last try is when it is too old after it
		{-time.Hour + time.Millisecond, 24 * time.Hour, shortestPause},
		{-time.Hour + time.Second, 0, time.Second},
	} {
		if v := judge(w, 50, now.Add(of.tried), now, Try{Sent: true, Status: 503, RetryAfter: of.asked}, 0); v.State != Waiting || v.Wait != of.want {
			t.Errorf("first tried %v ago and asked to wait for %v: %+v, want %v", -of.tried, of.asked, v, of.want)
		}
	}
	if v := judge(w, 50, now.Add(-61*time.Minute), now, Try{Sent: true, Status: 200}, 0); v.State != flushed {
		t.Errorf("a try that succeeds late comes to %+v", v)
	}
}

// What keeps a write on this side of the origin is over when it is: however often it was tried, the next try is soon.
func TestJudgeOfWhatWasNotAsked(t *testing.T) {
	now := time.Now()
	w := &Write{Method: http.MethodPost, MaxAge: time.Hour}
	for _, attempts := range []int{1, 50} {
		v := judge(w, attempts, now, now, Try{Problem: "it cannot be announced to the caches", Unasked: true}, 1)
		if want := pause(attempts, 0, 1); v.State != Waiting || v.Wait != min(want, longestUnasked) {
			t.Errorf("after %d tries: %+v, want a pause of %v", attempts, v, min(want, longestUnasked))
		}
	}
}

// Pauses grow, are bounded, and are no shorter than the origin asks for, within reason (RFC 9110 §10.2.3).
func TestPause(t *testing.T) {
	for _, random := range []float64{0, 0.5, 1} {
		for attempts, last := 1, time.Duration(0); attempts < 100; attempts++ {
			p := pause(attempts, 0, random)
			if p < last || p < firstPause/2 || p > longestPause {
				t.Fatalf("after %d tries %v, after the one before %v", attempts, p, last)
			}
			last = p
		}
	}
	if p := pause(1, 10*time.Second, 0); p != 10*time.Second {
		t.Errorf("%v where the origin asks for 10s", p)
	}
	if p := pause(1, 24*time.Hour, 0); p != longestAsked {
		t.Errorf("%v where the origin asks for a day", p)
	}
}
