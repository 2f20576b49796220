package leaderboard

import "time"

// BucketOf returns the bucket of a moment. A bucket lies between two multiples of Window.Bucket since 1970 in UTC, and
// within one calendar window if the rules have calendar windows. In the records, the first bucket of a board begins
// when the board is made.
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
