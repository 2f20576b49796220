package leaderboard

import "time"

// Period is the calendar day or week that a moment is in: from its first instant, of which clocks in the window's location may have skipped
// midnight, to that of the next. Periods neither overlap nor leave anything out: an hour that clocks show twice at midnight belongs to the
// day that they show after it once that day has begun. Of other windows it is the zero time, twice.
func (w Window) Period(t time.Time) (start, end time.Time) {
	days := 0
	switch w.Span {
	case Day:
		days = 1
	case Week:
		days = 7
	default:
		return time.Time{}, time.Time{}
	}
	location := w.Location
	if location == nil {
		location = time.UTC
	}
	local := t.In(location)
	year, month, day := local.Date()
	if w.Span == Week {
		day -= (int(local.Weekday()) + 6) % 7 // days since Monday
	}
	for {
		start, end = dayBegins(year, month, day, location), dayBegins(year, month, day+days, location)
		if t.Before(end) {
			return start, end
		}
		day += days
	}
}

// dayBegins is the first instant at which clocks in a location show the date, or a later one: some skip midnight, or the whole day.
func dayBegins(year int, month time.Month, day int, location *time.Location) time.Time {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC) // as if it were in UTC
	for at := midnight.Add(-36 * time.Hour).In(location); ; {
		_, offset := at.Zone()
		starts, ends := at.ZoneBounds()
		begins := midnight.Add(-time.Duration(offset) * time.Second)
		switch {
		case !starts.IsZero() && begins.Before(starts): // the clock was put forward over it
			return starts.In(location)
		case ends.IsZero() || begins.Before(ends):
			return begins.In(location)
		}
		at = ends.In(location)
	}
}
