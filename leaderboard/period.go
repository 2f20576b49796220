package leaderboard

import "time"

// Period returns the calendar day or week of a moment: from its first instant to the first instant of the next. The
// first instant may differ from midnight, if clocks in the window's location skipped midnight. Periods neither overlap
// nor have gaps. An hour that clocks show twice around midnight belongs to the later day, once that day has begun. For
// other windows, both times are zero.
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

// dayBegins returns the first instant at which clocks in a location show the date, or a later date: clocks may skip
// midnight, or the whole day.
func dayBegins(year int, month time.Month, day int, location *time.Location) time.Time {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC) // as if the location were UTC
	for at := midnight.Add(-36 * time.Hour).In(location); ; {
		_, offset := at.Zone()
		starts, ends := at.ZoneBounds()
		begins := midnight.Add(-time.Duration(offset) * time.Second)
		switch {
		case !starts.IsZero() && begins.Before(starts): // the clock was put forward over midnight
			return starts.In(location)
		case ends.IsZero() || begins.Before(ends):
			return begins.In(location)
		}
		at = ends.In(location)
	}
}
