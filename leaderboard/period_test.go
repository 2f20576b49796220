package leaderboard

import (
	"testing"
	"time"
	_ "time/tzdata" // the same rules wherever this runs
)

// Periods follow each other without a gap, whatever clocks do at midnight.
func TestPeriod(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		span       Span
		at         string // in UTC
		start, end string
	}{
		{"a day in UTC", "UTC", Day, "2026-11-27T12:00:00Z", "2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z"},
		{"its first instant", "UTC", Day, "2026-11-27T00:00:00Z", "2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z"},
		{"the last instant before it", "UTC", Day, "2026-11-26T23:59:59.999999Z", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"},
		{"23 hours", "Europe/Berlin", Day, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"25 hours", "Europe/Berlin", Day, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"a week with 23 hours", "Europe/Berlin", Week, "2026-03-29T21:59:59Z", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"a week with 25 hours", "Europe/Berlin", Week, "2026-10-19T12:00:00Z", "2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"Monday begins a week", "UTC", Week, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
		{"Sunday ends one", "UTC", Week, "2026-11-29T23:59:59Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
		{"no midnight: clocks skip from 24:00 to 1:00", "Africa/Cairo", Day, "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},
		{"the day before has its 24 hours", "Africa/Cairo", Day, "2026-04-23T12:00:00Z", "2026-04-22T22:00:00Z", "2026-04-23T22:00:00Z"},
		{"clocks go back from 24:00 to 23:00: the hour before counts twice", "Africa/Cairo", Day, "2026-10-29T20:30:00Z", "2026-10-28T21:00:00Z", "2026-10-29T22:00:00Z"},
		{"midnight twice: the first begins the day", "Atlantic/Azores", Day, "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"},
		{"from 0:01 back to 23:01: the day has begun", "America/St_Johns", Day, "2010-11-07T02:40:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"},
		{"a day that was left out", "Pacific/Apia", Day, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},
		{"and the one after it", "Pacific/Apia", Day, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
		{"a quarter of an hour off", "Asia/Kathmandu", Day, "2026-11-27T18:14:59Z", "2026-11-26T18:15:00Z", "2026-11-27T18:15:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339Nano, c.at)
			if err != nil {
				t.Fatal(err)
			}
			start, end := Window{Span: c.span, Location: zone}.Period(at)
			if start.UTC().Format(time.RFC3339) != c.start || end.UTC().Format(time.RFC3339) != c.end {
				t.Errorf("from %s to %s, want %s to %s", start.UTC(), end.UTC(), c.start, c.end)
			}
		})
	}
}

// In every zone periods are one after another, and each contains the moment that it was asked for.
func TestPeriodsLeaveNothingOut(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "Africa/Cairo", "America/Havana", "America/Santiago", "America/St_Johns", "Asia/Beirut", "Atlantic/Azores", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, span := range []Span{Day, Week} {
			w := Window{Span: span, Location: zone}
			_, last := w.Period(time.Date(2009, 12, 31, 12, 0, 0, 0, time.UTC))
			for at := last; at.Year() < 2028; {
				for _, inside := range []time.Time{at, at.Add(time.Microsecond), at.Add(11 * time.Hour), at.Add(21 * time.Hour)} {
					start, end := w.Period(inside)
					if !start.Equal(last) || !end.After(inside) {
						t.Fatalf("%s, %d: %s is in %s to %s, want from %s", name, span, inside, start, end, last)
					}
				}
				_, at = w.Period(at)
				last = at
			}
		}
	}
}

func TestBucketOf(t *testing.T) {
	kathmandu := time.FixedZone("Kathmandu", int((5*time.Hour + 45*time.Minute).Seconds()))
	for _, c := range []struct {
		window         Window
		at, start, end string
	}{
		{Window{Bucket: time.Minute}, "2026-11-27T12:00:59.999999Z", "2026-11-27T12:00:00Z", "2026-11-27T12:01:00Z"},
		{Window{Bucket: time.Minute}, "2026-11-27T12:01:00Z", "2026-11-27T12:01:00Z", "2026-11-27T12:02:00Z"},
		{Window{Span: Day, Bucket: time.Hour, Location: kathmandu}, "2026-11-27T18:14:00Z", "2026-11-27T18:00:00Z", "2026-11-27T18:15:00Z"},
		{Window{Span: Day, Bucket: time.Hour, Location: kathmandu}, "2026-11-27T18:15:00Z", "2026-11-27T18:15:00Z", "2026-11-27T19:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339Nano, c.at)
		if err != nil {
			t.Fatal(err)
		}
		b := (&Rules{Window: c.window}).BucketOf(at)
		if b.Start.Format(time.RFC3339) != c.start || b.End.Format(time.RFC3339) != c.end {
			t.Errorf("%s is in %s to %s, want %s to %s", c.at, b.Start, b.End, c.start, c.end)
		}
	}
}
