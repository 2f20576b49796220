package attack

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// findings are what has been found, and what came before on each resource.
type findings struct {
	seed uint64

	mu      sync.Mutex
	list    []string            // guarded by mu
	count   map[string]int      // by rule; guarded by mu
	history map[string][]string // by path, the last few; guarded by mu
}

// remembered is how many exchanges of a resource are shown with a finding.
const remembered = 12

func newFindings(seed uint64) *findings {
	return &findings{seed: seed, count: map[string]int{}, history: map[string][]string{}}
}

func (f *findings) note(path, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := append(f.history[path], time.Now().Format("15:04:05.000 ")+what)
	f.history[path] = h[max(0, len(h)-remembered):]
}

// add takes in a finding; of each rule the first few are told in full.
func (f *findings) add(rule, path, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count[rule]++; f.count[rule] > 3 {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (seed %d): %s", rule, f.seed, what)
	if path != "" {
		fmt.Fprintf(&b, "\n  plan of %s: %s\n  before, on it:", path, planOf(f.seed, path))
		for _, line := range f.history[path] {
			fmt.Fprintf(&b, "\n    %s", line)
		}
	}
	f.list = append(f.list, b.String())
}

func (f *findings) found() (list []string, total int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.count {
		total += n
	}
	return slices.Clone(f.list), total
}

// What a proxy may change of the fields of a request, and of an answer, that passes: what is of one connection, who has asked, and what it
// says of itself. Every other field goes through as it is.
var (
	mayChange = []string{
		"connection", "keep-alive", "transfer-encoding", "content-length", "trailer", "te", "expect", "host", "via", "date",
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "x-request-id", "cache-status", "age", "accept-encoding", "traceparent",
	}
	hops = []string{"x-hop"} // named by Connection
)

// usual is the lifetime that the routes have where the API names none.
const usual = 5 * time.Second

// slack is what clocks of seconds, and a machine with much to do, may add.
const slack = 2500 * time.Millisecond

// comparable is the fields that must be the same on both sides, sorted.
func comparable(fields []field) (lines []string) {
	for _, f := range fields {
		name := strings.ToLower(f.name)
		if slices.Contains(mayChange, name) || slices.Contains(hops, name) {
			continue
		}
		lines = append(lines, name+": "+f.value)
	}
	slices.Sort(lines)
	return lines
}

// said is an exchange in a line.
func said(q *request, a *answer, where string) string {
	var fields []string
	for _, f := range q.fields {
		fields = append(fields, fmt.Sprintf("%s: %.60q", f.name, f.value))
	}
	if q.broken != "" {
		return fmt.Sprintf("%s: %s: %.300q => %d %v", where, q.broken, q.raw, a.status, a.err)
	}
	return fmt.Sprintf("%s: %s %s %s {%s} body %d => %d serial %s, %s, Age %s, ETag %s, %d bytes, whole %v, %v", where, q.method, q.target(), q.proto,
		strings.Join(fields, "; "), len(q.body), a.status, a.get("X-Serial"), a.get("Cache-Status"), a.get("Age"), a.get("ETag"), len(a.body), a.whole, a.err)
}

// judge holds an answer against what the API has said. want is the version that was acknowledged before it was asked for.
func (t *target) judge(q *request, a *answer, asked time.Time, want int64, risky bool, where string) (e *record) {
	line := said(q, a, where)
	wrong := func(rule, format string, args ...any) {
		t.find.add(rule, q.path, fmt.Sprintf(format, args...)+"\n  "+line)
	}
	defer t.find.note(q.path, line)
	now := time.Now()
	p := planOf(t.find.seed, q.path)
	if a.status == 0 {
		if !p.rough && !p.slow && q.broken == "" {
			if a.timedOut() {
				wrong("cause", "no answer for %v", patience)
			} else {
				wrong("cause", "no answer at all: %v", a.err)
			}
		}
		return nil
	}
	serial, _ := strconv.ParseUint(a.get("X-Serial"), 10, 64)
	if e = t.api.recordOf(serial); e == nil {
		own := strings.Contains(a.get("Cache-Status"), "cacheproxy")
		switch {
		case serial != 0:
			wrong("bytes", "an answer that the API never gave, or minutes ago")
		case a.status == 304 && own, a.status == 412, a.status == 416:
			t.etagged(q, a, want, wrong)
		case a.status == 503 && strings.Contains(a.get("Cache-Status"), "detail=store-down"):
			t.refused.Add(1) // see attack: a machine that stands still for long is as good as a server that does
		case a.status >= 500 && !p.rough && q.broken == "" && !strings.Contains(strings.ToLower(q.get("Cache-Control")), "only-if-cached"):
			wrong("cause", "a %d of the proxy's own: %.200q", a.status, a.body)
		}
		return nil
	}
	if e.path != q.path {
		wrong("bytes", "the answer for %s", e.path)
		return e
	}
	if q.broken == "" && q.method == "GET" || q.method == "HEAD" {
		t.check.Read(e.key, want, risky, e.version, asked, line)
		if e.version < want {
			wrong("stale", "version %d, and %d was acknowledged", e.version, want)
		}
	}
	// Nobody's answer is right for who has a token, where the API itself permits to share (RFC 9111 §3.5).
	shared := e.plan.permits() && q.get("Authorization") != "" && q.get("Cookie") == ""
	if e.who != q.who && (e.who != "" || e.plan.personal && !shared) && q.broken == "" {
		wrong("personal", "for %q, and %q asks", e.who, q.who)
	}
	if strings.Contains(a.get("Cache-Status"), "; hit") {
		t.hits.Add(1)
	}
	t.bytes(q, a, e, wrong)
	t.rules(q, a, e, asked, now, wrong)
	if passes(q.path) && q.broken == "" {
		t.fields(q, a, e, wrong)
	}
	return e
}

// etagged looks at the version that an ETag tells of.
func (t *target) etagged(_ *request, a *answer, want int64, wrong func(rule, format string, args ...any)) {
	var version int64
	if _, err := fmt.Sscanf(strings.TrimPrefix(a.get("ETag"), "W/"), "\"%d-", &version); err == nil && version < want {
		wrong("stale", "version %d is confirmed, and %d was acknowledged", version, want)
	}
}

// bytes holds the body against the one that the API has for this answer.
func (t *target) bytes(q *request, a *answer, e *record, wrong func(rule, format string, args ...any)) {
	content := e.content()
	switch {
	case q.method == "HEAD" || a.status == 304 || a.status == 204:
		if len(a.body) > 0 {
			wrong("bytes", "%d bytes where there are none", len(a.body))
		}
		if n := a.get("Content-Length"); n != "" && q.method == "HEAD" && a.status == e.plan.status && n != strconv.Itoa(len(content)) {
			wrong("bytes", "Content-Length %s where the content has %d bytes", n, len(content))
		}
		if tags := q.get("If-None-Match"); a.status == 304 && tags != "" && !strings.Contains(tags, "*") && !strings.Contains(tags, strings.TrimPrefix(e.etag(), "W/")) {
			wrong("bytes", "304 to %s, and it is %s", tags, e.etag())
		}
	case a.status == 206 && strings.HasPrefix(a.get("Content-Type"), "multipart/"):
	case a.status == 206:
		var first, last, size int
		if _, err := fmt.Sscanf(a.get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err != nil || size != len(content) || first > last || last >= size {
			wrong("bytes", "a range %q of %d bytes", a.get("Content-Range"), len(content))
		} else if part := content[first : last+1]; !bytes.HasPrefix(part, a.body) || a.whole && len(a.body) != len(part) {
			wrong("bytes", "another part than %q: %d bytes", a.get("Content-Range"), len(a.body))
		}
	case a.status == 412 || a.status == 416:
	case !bytes.HasPrefix(content, a.body):
		wrong("bytes", "another body: %.120q, want %.120q", a.body, content)
	case a.whole && len(a.body) != len(content):
		wrong("bytes", "cut after %d of %d bytes, and taken for whole", len(a.body), len(content))
	}
}

// rules are those of RFC 9111 for what comes from a copy.
func (t *target) rules(q *request, a *answer, e *record, asked, now time.Time, wrong func(rule, format string, args ...any)) {
	status := a.get("Cache-Status")
	if !strings.Contains(status, "; hit") {
		return
	}
	fresh, storable := e.plan.lifetime(usual)
	resident, began := now.Sub(e.at), asked.Sub(e.at)
	switch age, err := strconv.Atoi(a.get("Age")); {
	case e.method != "GET" && e.method != "HEAD" && !(e.method == "PUT" && strings.HasPrefix(q.path, "/v/")):
		wrong("rfc9111", "a copy of the answer to %s", e.method)
	case !storable:
		wrong("rfc9111", "a copy that may not be stored")
	case passes(q.path):
		wrong("rfc9111", "a copy where nothing is cached")
	case e.cookied && e.plan.personal:
		wrong("rfc9111", "a copy of the answer to a request with a cookie")
	case e.authorize && !e.plan.permits():
		wrong("rfc9111", "a copy of the answer to a request with Authorization")
	case fresh == 0 || err == nil && time.Duration(age)*time.Second >= fresh:
		wrong("rfc9111", "Age %s of a copy that is fresh for %v", a.get("Age"), fresh)
	case began+time.Duration(e.plan.age)*time.Second > fresh+slack:
		wrong("rfc9111", "a copy of %v, of age %d when it came, fresh for %v", began, e.plan.age, fresh)
	case err != nil || age < e.plan.age+int((began-slack)/time.Second) || age > e.plan.age+int((resident+slack)/time.Second):
		wrong("rfc9111", "Age %q of a copy that is %v old and was %d when it came", a.get("Age"), resident, e.plan.age)
	case strings.Contains(e.plan.vary, "Accept-Language") && e.language != q.get("Accept-Language"):
		wrong("rfc9111", "a copy for Accept-Language %q, asked with %q", e.language, q.get("Accept-Language"))
	case strings.Contains(e.plan.vary, "X-Lang") && e.x != q.get("X-Lang"):
		wrong("rfc9111", "a copy for X-Lang %q, asked with %q", e.x, q.get("X-Lang"))
	}
}

// fields holds what passed against what was sent, both ways.
func (t *target) fields(q *request, a *answer, e *record, wrong func(rule, format string, args ...any)) {
	sent := e.sent
	if a.status == 304 { // has no content, and net/http no type for it then (RFC 9110 §15.4.5 wants neither)
		sent = slices.DeleteFunc(slices.Clone(sent), func(f field) bool { return f.name == "Content-Type" })
	}
	if got, want := comparable(a.fields), comparable(sent); !slices.Equal(got, want) {
		wrong("fields", "the client got %q\n    of %q", got, want)
	}
	h := t.api.take(q.nonce)
	if h == nil {
		return
	}
	if want := q.method + " " + q.target() + " HTTP/1.1"; h.line != want {
		wrong("fields", "the API heard %q, want %q", h.line, want)
	}
	if got, want := comparable(h.fields), comparable(append(q.fields, field{"User-Agent", q.nonce})); !slices.Equal(got, want) {
		wrong("fields", "the API heard %q\n    of %q", got, want)
	}
	if get(h.fields, "X-Hop") != "" || get(h.fields, "Keep-Alive") != "" {
		wrong("fields", "the API heard a field of the client's connection: %q", h.fields)
	}
	if h.whole && !bytes.Equal(h.body, q.body) {
		wrong("bytes", "the API heard a body of %d bytes, and %d were sent", len(h.body), len(q.body))
	}
}
