package transparency

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// changes are the fields that may differ on a way.
type changes struct{ added, changed, removed []string }

// framing is not compared: how long a message is, and what belongs to one connection, each hop says for itself (RFC 9110 §7.6.1, RFC 9112 §6).
var framing = []string{"Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Trailer", "Te"}

// documented are the changes of one column of a table of "What is added and taken off" in docs/caching.md, which begins with a heading:
// 0 is a shared fetch or a copy, 1 what passes, 2 an answer that a shared fetch has brought.
func documented(t *testing.T, heading string, column int) (c changes) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/caching.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| "+heading+" |")
	table, _, _ = strings.Cut(table, "\n\n")
	if !found {
		t.Fatalf("docs/caching.md has no table %q", heading)
	}
	name := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4+column {
			continue
		}
		var names []string
		for _, m := range name.FindAllStringSubmatch(cells[1], -1) {
			names = append(names, http.CanonicalHeaderKey(m[1]))
		}
		switch word, _, _ := strings.Cut(strings.TrimSpace(cells[2+column]), ";"); word {
		case "kept":
		case "kept, else added":
			c.added = append(c.added, names...)
		case "replaced", "extended":
			c.added, c.changed = append(c.added, names...), append(c.changed, names...)
		case "removed":
			c.removed = append(c.removed, names...)
		}
	}
	if len(c.added) == 0 || len(c.removed) == 0 {
		t.Fatalf("docs/caching.md, %q: %v", heading, c)
	}
	return c
}

// documents are what may differ: on requests that pass, on those that the program makes for many clients, and on answers that passed, from
// a copy, and that were fetched.
type documents struct{ passing, shared, passed, copied, fetched changes }

// answers are what may differ on an answer, by its way.
func (d documents) answers(status string) changes {
	switch {
	case strings.Contains(status, "fwd=bypass"), strings.Contains(status, "fwd=method"), status == "":
		return d.passed
	case strings.Contains(status, "; hit"), strings.Contains(status, "fwd-status=304"):
		return d.copied
	}
	return d.fetched
}

func documentsOf(t *testing.T) documents {
	d := documents{
		documented(t, "Request", 1), documented(t, "Request", 0), documented(t, "Answer", 1), documented(t, "Answer", 0), documented(t, "Answer", 2),
	}
	for _, c := range []*changes{&d.passed, &d.copied, &d.fetched} {
		c.changed = append(c.changed, "Date") // of another second
	}
	// Of the neutral class, and of conditions, the table names some: the mix has these besides. A fetch is whole, has the conditions of the
	// copy that it renews, and offers no coding that the program cannot unpack.
	d.shared.removed = append(d.shared.removed, "Dnt", "Priority", "Upgrade-Insecure-Requests", "Sec-Fetch-*", "X-Amzn-Trace-Id", "Pragma",
		"Range", "If-Range", "If-Match", "If-Modified-Since")
	d.shared.added = append(d.shared.added, "If-None-Match", "If-Modified-Since")
	d.shared.changed = append(d.shared.changed, "If-None-Match", "If-Modified-Since", "Accept-Encoding")
	return d
}
