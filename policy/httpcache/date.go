package httpcache

import (
	"net/http"
	"strings"
	"time"
)

// dateLayouts are the three forms of an HTTP-date (RFC 9110 §5.6.7).
var dateLayouts = [...]string{http.TimeFormat, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC}

// parseDate reads an HTTP-date, in any case (RFC 9111 §4.2). time.Parse also takes texts that the grammar does not
// have, as with other numbers of spaces and digits. parseDate refuses these, since a text that is no date must not make
// an answer fresh. The name of the day need not be right for the date.
func parseDate(text string) (time.Time, bool) {
	if t, ok := parseFixdate(text); ok {
		return t, true
	}
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

// parseFixdate reads the usual form, as in "Sun, 06 Nov 1994 08:49:37 GMT". A text for which ok is false may be a date
// in another form.
func parseFixdate(text string) (t time.Time, ok bool) {
	const days, months = "SunMonTueWedThuFriSat", "JanFebMarAprMayJunJulAugSepOctNovDec"
	if len(text) != len(http.TimeFormat) || text[3:5] != ", " || text[7] != ' ' || text[11] != ' ' || text[16] != ' ' || text[19] != ':' || text[22] != ':' || text[25:] != " GMT" {
		return t, false
	}
	number := func(digits string) (n int) {
		for _, c := range []byte(digits) {
			if c < '0' || c > '9' {
				ok = false
			}
			n = 10*n + int(c-'0')
		}
		return n
	}
	ok = true
	name, month := strings.Index(days, text[:3]), strings.Index(months, text[8:11])
	year, day, hour, minute, second := number(text[12:16]), number(text[5:7]), number(text[17:19]), number(text[20:22]), number(text[23:25])
	if !ok || name < 0 || name%3 != 0 || month < 0 || month%3 != 0 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t = time.Date(year, time.Month(month/3+1), day, hour, minute, second, 0, time.UTC)
	return t, t.Day() == day
}

// afterDay is a date without the name of the day.
func afterDay(date string) string { return date[max(strings.IndexAny(date, ", "), 0):] }

// headerTime reads a field that holds one HTTP-date (RFC 9110 §5.6.7). Several lines count only where all are equal.
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
