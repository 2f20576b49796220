package leaderboard

import "time"

// BucketOf is the bucket that a moment is in: between two multiples of the window's bucket since 1970 in UTC, and within one calendar window
// where the rules have those. The records begin the first bucket of a board when it is made, within that one.
func (r *Rules) BucketOf(at time.Time) Bucket {
	us, size := at.UnixMicro(), r.Window.Bucket.Microseconds()
	start := us - us%size
	b := Bucket{Route: r.Route, Start: time.UnixMicro(start).UTC(), End: time.UnixMicro(start + size).UTC()}
	if from, to := r.Window.Period(at); !to.IsZero() {
		if b.Start.Before(from) {
			b.Start = from.UTC()
		}
		if b.End.After(to) {
			b.End = to.UTC()
		}
	}
	return b
}
