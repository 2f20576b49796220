package httpcache

import (
	"net/http"
	"strings"
	"time"
)

// dateLayouts are the three forms of an HTTP-date (RFC 9110 §5.6.7).
var dateLayouts = [...]string{http.TimeFormat, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC}

// parseDate reads an HTTP-date, in any case (RFC 9111 §4.2). The time package also takes texts that the grammar does not have, as with
// other numbers of spaces and digits; those are refused, since a text that is no date must not make anything fresh. Whether the name
// of the day is that of the date does not matter.
func parseDate(text string) (time.Time, bool) {
	if at := len(text) - len("GMT"); at > 0 && text[at:] != "GMT" && strings.EqualFold(text[at:], "GMT") {
		text = text[:at] + "GMT"
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t, strings.EqualFold(afterDay(text), afterDay(t.Format(layout)))
		}
	}
	return time.Time{}, false
}

// afterDay is a date without the name of the day.
func afterDay(date string) string { return date[max(strings.IndexAny(date, ", "), 0):] }

// headerTime reads a field that holds one HTTP-date (RFC 9110 §5.6.7). Several lines are none, unless they are equal.
func headerTime(lines []string) (time.Time, bool) {
	if len(lines) == 0 {
		return time.Time{}, false
	}
	for _, line := range lines[1:] {
		if line != lines[0] {
			return time.Time{}, false
		}
	}
	return parseDate(TrimOWS(lines[0]))
}
