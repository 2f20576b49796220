package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// boardBuckets in seconds: from a call of a nearby server to the time when clients give up.
var boardBuckets = []float64{.5e-3, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 2.5, 5}

// HeldBoards is the content of the records, by route. All instances share the records, so each tells the same values.
type HeldBoards struct {
	Boards map[string]int   // by route
	Bytes  map[string]int64 // by route
}

// Leaderboard counts an instance's operations on boards. A nil Leaderboard counts nothing. Leaderboard is safe for
// concurrent use.
type Leaderboard struct {
	submissions *prometheus.CounterVec
	submit      *prometheus.HistogramVec
	read        *prometheus.HistogramVec
	freshness   *prometheus.HistogramVec
	unmirrored  *prometheus.CounterVec
}

// Leaderboard makes the metrics of boards. Each scrape calls read, which must be safe for concurrent use. Leaderboard
// may be called once.
func (m *Metrics) Leaderboard(read func() *HeldBoards) *Leaderboard {
	l := &Leaderboard{
		submissions: counters("leaderboard_submissions_total", "Submissions: recorded, repeated (the key was known), refused by the rules of the board (409, 422) or failed (503).", "route", "result"),
		submit:      histograms("leaderboard_submit_seconds", "Time from a submission to its acknowledgement.", boardBuckets, "route"),
		read:        histograms("leaderboard_read_seconds", "Time of a read of a board.", boardBuckets, "route"),
		freshness:   histograms("leaderboard_view_age_seconds", "Age of what a read showed, since the records were asked: what was acknowledged before is in it.", boardBuckets, "route"),
		unmirrored:  counters("leaderboard_unmirrored_total", "Submissions that the upstream accepted while the route was observed, and that were not recorded.", "route"),
	}
	m.register(l.submissions, l.submit, l.read, l.freshness, l.unmirrored, readings(func(tell reading) {
		held := read()
		for route, n := range held.Boards {
			tell(gauge, "leaderboard_boards", "Boards of a route that the records hold.", float64(n), "route", route)
		}
		for route, n := range held.Bytes {
			tell(gauge, "leaderboard_bytes", "Memory that the boards of a route take on the server.", float64(n), "route", route)
		}
	}))
	return l
}

// Route begins the counters of a route at zero, so that the first increment is visible.
func (l *Leaderboard) Route(route string) {
	for _, result := range [...]string{"recorded", "repeated", "refused", "failed"} {
		l.submissions.WithLabelValues(route, result)
	}
	l.unmirrored.WithLabelValues(route)
}

// Submitted counts submissions with one result and observes the duration of their request.
func (l *Leaderboard) Submitted(route, result string, count int, took time.Duration) {
	if l != nil {
		l.submissions.WithLabelValues(route, result).Add(float64(count))
		l.submit.WithLabelValues(route).Observe(took.Seconds())
	}
}

// Read counts a read and observes the age of the view that was shown.
func (l *Leaderboard) Read(route string, took, age time.Duration) {
	if l != nil {
		l.read.WithLabelValues(route).Observe(took.Seconds())
		l.freshness.WithLabelValues(route).Observe(age.Seconds())
	}
}

// Unmirrored counts a submission that the upstream has and the records lack.
func (l *Leaderboard) Unmirrored(route string) {
	if l != nil {
		l.unmirrored.WithLabelValues(route).Inc()
	}
}
