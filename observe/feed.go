package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// feedBuckets in seconds: a poll takes a tenth of a second, and waiting for another instance takes seconds.
var feedBuckets = []float64{1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// FeedGauges is an instance's view of the changes in the database behind.
type FeedGauges struct {
	Up      bool          // the last query for changes succeeded
	Blind   bool          // copies are trusted for less time, since changes may be unknown
	Lag     time.Duration // how long visible changes may have been without a purge
	Waiting int64         // changes that were seen and not consumed
	Owed    int64         // tables to be purged as a whole, because their changes were not consumed
	Missing int64         // tables whose changes are not reported
	Shared  bool          // another consumer takes changes too, which must not be
	Rows    uint64        // changes consumed by this instance, since the start
	// Retained is the size of the write-ahead log that the slot keeps, in bytes; zero: triggers report changes.
	Retained int64
	Failed   map[string]uint64
}

// Feed counts the changes of a database. Feed is safe for concurrent use.
type Feed struct{ seconds prometheus.Histogram }

// Feed makes the metrics of a database's changes. Each scrape calls read, which must be safe for concurrent use. Feed
// may be called once.
func (m *Metrics) Feed(read func() FeedGauges) *Feed {
	f := &Feed{prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: "feed_seconds", Buckets: feedBuckets,
		Help: "Time from a statement that has changed rows, by the database's clock, until what they name was unusable everywhere.",
	})}
	m.register(f.seconds, readings(func(tell reading) { read().collect(tell) }))
	return f
}

// Held counts a row whose names are all unusable on every instance.
func (f *Feed) Held(took time.Duration) { f.seconds.Observe(took.Seconds()) }

// collect tells the values of the gauges.
func (g FeedGauges) collect(tell reading) {
	tell(gauge, "feed_up", "1 while this instance sees the changes of the database, 0 while it does not.", flag(g.Up))
	tell(gauge, "feed_blind", "1 while copies that the database's tables feed are trusted for postgres.feed_down_ttl only.", flag(g.Blind))
	tell(gauge, "feed_lag_seconds", "For how long changes of the database may have been in sight without being purged.", g.Lag.Seconds())
	tell(gauge, "feed_waiting", "Changes of the database that were seen and are not consumed.", float64(g.Waiting))
	tell(gauge, "feed_owed", "Tables that are purged as a whole, since nobody consumed their changes for too long.", float64(g.Owed))
	tell(gauge, "feed_not_installed", "Tables of the configuration whose changes nothing in the database tells of.", float64(g.Missing))
	tell(gauge, "feed_shared", "1 while another instance, without a Valkey that both share, consumes the changes as well, so that neither sees all of them.", flag(g.Shared))
	tell(gauge, "feed_retained_bytes", "How much of its write-ahead log the database keeps for changes that are not consumed. With source: logical.", float64(g.Retained))
	tell(counter, "feed_rows_total", "Changes of the database that this instance has consumed.", float64(g.Rows))
	for kind, n := range g.Failed {
		tell(counter, "feed_errors_total", "What went wrong with the changes of the database, by what.", float64(n), "kind", kind)
	}
}
