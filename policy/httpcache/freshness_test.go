package httpcache

import (
	"testing"
	"time"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestLifetimeState(t *testing.T) {
	const s = time.Second
	base := Lifetime{Received: epoch, Fresh: 60 * s, StaleWhileRevalidate: 30 * s, StaleIfError: 90 * s, Keep: 1000 * s}
	with := func(change func(*Lifetime)) Lifetime { l := base; change(&l); return l }
	tests := []struct {
		about string
		l     Lifetime
		after time.Duration
		want  Freshness
	}{
		{"zero value", Lifetime{}, 0, Dead},
		{"at once", base, 0, Fresh},
		{"a moment before the lifetime ends", base, 60*s - 1, Fresh},
		{"lifetime must be greater than age (RFC 9111 §4.2)", base, 60 * s, StaleServable},
		{"end of stale-while-revalidate (RFC 5861 §3)", base, 90*s - 1, StaleServable},
		{"after stale-while-revalidate", base, 90 * s, StaleOnError},
		{"end of stale-if-error (RFC 5861 §4)", base, 150*s - 1, StaleOnError},
		{"after both windows", base, 150 * s, NeedsValidation},
		{"end of keep", base, 1000*s - 1, NeedsValidation},
		{"after keep", base, 1000 * s, Dead},
		{"keep goes before freshness", with(func(l *Lifetime) { l.Keep = 10 * s }), 10 * s, Dead},
		{"age on arrival counts (§4.2.3)", with(func(l *Lifetime) { l.InitialAge = 50 * s }), 10 * s, StaleServable},
		{"must-revalidate does not end freshness (§5.2.2.2)", with(func(l *Lifetime) { l.MustRevalidate = true }), 59 * s, Fresh},
		{"must-revalidate forbids stale (§4.2.4)", with(func(l *Lifetime) { l.MustRevalidate = true }), 61 * s, NeedsValidation},
		{"no-cache forbids fresh (§5.2.2.4)", with(func(l *Lifetime) { l.NoCache = true }), 0, NeedsValidation},
		{"no-cache forbids stale", with(func(l *Lifetime) { l.NoCache = true }), 61 * s, NeedsValidation},
		{"the clock was set back", base, -time.Hour, Fresh},
	}
	for _, tt := range tests {
		if got := tt.l.State(epoch.Add(tt.after)); got != tt.want {
			t.Errorf("%s: after %v: %v, want %v", tt.about, tt.after, got, tt.want)
		}
	}
}

func TestLifetimeAgeAndLeft(t *testing.T) {
	l := Lifetime{Received: epoch, InitialAge: 5 * time.Second, Fresh: time.Minute, Keep: time.Hour}
	if got := l.Age(epoch.Add(10 * time.Second)); got != 15*time.Second {
		t.Errorf("Age = %v", got)
	}
	if got := l.Left(epoch.Add(70 * time.Second)); got != -15*time.Second {
		t.Errorf("Left = %v", got)
	}
	if got := l.Age(epoch.Add(-time.Hour)); got != 5*time.Second {
		t.Errorf("Age with the clock set back = %v", got)
	}
	if got := (Lifetime{Received: epoch, InitialAge: -time.Hour}).Age(epoch); got != 0 {
		t.Errorf("Age = %v, want no negative age", got)
	}
	if got := l.Age(epoch.AddDate(1000, 0, 0)); got != maxDelta {
		t.Errorf("Age after a thousand years = %v", got)
	}
	if !l.Until().Equal(epoch.Add(time.Hour)) || l.Retention() != time.Hour {
		t.Errorf("Until %v, Retention %v", l.Until(), l.Retention())
	}
}

func TestLifetimeKeep(t *testing.T) {
	const m = time.Minute
	tests := []struct {
		about     string
		l         Lifetime
		validator bool
		want      time.Duration
	}{
		{"fresh only", Lifetime{Fresh: 5 * m}, false, 5 * m},
		{"less the age on arrival", Lifetime{Fresh: 5 * m, InitialAge: 2 * m}, false, 3 * m},
		{"the longer window", Lifetime{Fresh: 5 * m, StaleWhileRevalidate: m, StaleIfError: 3 * m}, false, 8 * m},
		{"stale on arrival, in a window", Lifetime{Fresh: m, InitialAge: 2 * m, StaleIfError: 3 * m}, false, 2 * m},
		{"stale on arrival, past the window", Lifetime{Fresh: m, InitialAge: 9 * m, StaleIfError: 3 * m}, false, 0},
		{"a validator: at least ten minutes more", Lifetime{Fresh: m}, true, 11 * m},
		{"a validator: as long again", Lifetime{Fresh: 60 * m}, true, 120 * m},
		{"a validator: a day at most", Lifetime{Fresh: 72 * 60 * m}, true, 96 * 60 * m},
		{"a validator: the window if longer", Lifetime{Fresh: m, StaleIfError: 60 * m}, true, 61 * m},
		{"a validator: stale on arrival", Lifetime{Fresh: m, InitialAge: 5 * m}, true, 10 * m},
		{"never more than MaxKeep", Lifetime{Fresh: maxDelta, StaleIfError: maxDelta}, true, MaxKeep},
	}
	for _, tt := range tests {
		if got := tt.l.WorthKeeping(tt.validator); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.about, got, tt.want)
		}
	}
}
