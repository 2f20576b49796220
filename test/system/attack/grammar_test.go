package attack

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

// field is one line of a head.
type field struct{ name, value string }

// request is what a client sends.
type request struct {
	method, path, query, proto string
	who                        string // empty: nobody
	fields                     []field
	body                       []byte
	chunked                    bool
	expect                     bool
	broken                     string // how it is malformed; empty: it is not
	raw                        string // of a malformed one, all of it
	nonce                      string
}

func (q *request) target() string {
	if q.query == "" {
		return q.path
	}
	return q.path + "?" + q.query
}

func (q *request) get(name string) string { return get(q.fields, name) }

func get(fields []field, name string) string {
	var values []string
	for _, f := range fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return strings.Join(values, ", ")
}

// The forms of the body of an answer.
const (
	byLength = iota
	byChunks
	byTrailers // chunks and a trailer section
	byClose
)

// plan is how the API answers for one resource: the same for a seed, whatever happens.
type plan struct {
	status   int
	control  string
	vary     string
	etag     string // empty, strong or weak
	modified bool
	cookie   bool
	age      int
	interim  []int
	form     int
	size     int
	personal bool // the body names who asks
	rough    bool // it breaks off now and then, anywhere
	slow     bool
	ranges   bool
}

func (p plan) String() string {
	return fmt.Sprintf("status %d, Cache-Control %q, Vary %q, ETag %q, Last-Modified %v, Set-Cookie %v, Age %d, interim %v, form %d, size %d, personal %v, rough %v, slow %v, ranges %v",
		p.status, p.control, p.vary, p.etag, p.modified, p.cookie, p.age, p.interim, p.form, p.size, p.personal, p.rough, p.slow, p.ranges)
}

func hashOf(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

func oneIn(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

// resources is how many there are under each prefix.
const resources = 12

// prefixes are the routes: write-through, cache-aside, refresh-ahead, bypass, none.
var prefixes = []string{"/v/", "/c/", "/r/", "/b/", "/n/"}

// keyOf is the number of a resource.
func keyOf(path string) int {
	for i, prefix := range prefixes {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			n := 0
			if _, err := fmt.Sscanf(rest, "%d", &n); err == nil && n >= 0 && n < resources {
				return i*resources + n
			}
		}
	}
	return -1
}

func pathOf(key int) string { return prefixes[key/resources] + fmt.Sprint(key%resources) }

// passes reports whether nothing is cached for the path.
func passes(path string) bool {
	return strings.HasPrefix(path, "/b/") || strings.HasPrefix(path, "/n/")
}

func planOf(seed uint64, path string) plan {
	r := rand.New(rand.NewPCG(seed, hashOf(path)))
	p := plan{
		status: 200, form: pick(r, byLength, byLength, byChunks, byTrailers, byClose), size: pick(r, 0, 1, 100, 100, 5000, 20000, 100000),
		control: pick(r, "max-age=60", "max-age=60", "public, max-age=60", "max-age=1", "s-maxage=60, max-age=0"),
		etag:    pick(r, "", "strong", "strong", "weak"), modified: oneIn(r, 2), vary: pick(r, "", "", "X-Lang", "Accept-Language", "Accept-Language, X-Lang"),
		personal: oneIn(r, 3), ranges: oneIn(r, 2),
	}
	if strings.HasPrefix(path, "/v/") {
		p.personal, p.control = false, "max-age=60"
		return p
	}
	p.status = pick(r, 200, 200, 200, 200, 203, 204, 301, 302, 404, 410, 500, 503)
	if oneIn(r, 2) {
		p.control = pick(r, "", "max-age=0", "private", "private, max-age=60", "no-store", "no-cache", "max-age=60, no-cache", "max-age=60, must-revalidate",
			`max-age="60"`, "max-age=60; private", "MAX-AGE=60", "max-age=60, max-age=1", "must-understand, no-store, max-age=60")
	}
	if oneIn(r, 8) {
		p.vary = pick(r, "*", "Accept-Encoding", "Cookie", "User-Agent")
	}
	p.cookie, p.rough, p.slow = oneIn(r, 6), oneIn(r, 5), oneIn(r, 8)
	if oneIn(r, 6) {
		p.age = 30
	}
	if oneIn(r, 5) {
		p.interim = pick(r, []int{103}, []int{102, 103}, []int{103, 103})
	}
	return p
}

// lifetime is how long the API lets an answer be used; ok is false if it may not be stored at all. More than that is never right; less
// often is. usual is what the route has where the API says nothing.
func (p plan) lifetime(usual time.Duration) (fresh time.Duration, ok bool) {
	c := strings.ToLower(p.control)
	switch {
	case strings.Contains(c, "must-understand"):
		return time.Minute, true // the no-store beside it is for who does not understand the status (RFC 9111 §5.2.2.3)
	case strings.Contains(c, "no-store"), strings.Contains(c, "private"), p.cookie, p.vary == "*":
		return 0, false
	case strings.Contains(c, "no-cache"):
		return 0, true // the API confirms it each time
	case strings.Contains(c, "max-age=60, max-age=1"):
		return time.Minute, true // either, or none at all (RFC 9111 §4.2.1)
	case strings.Contains(c, "s-maxage=60"):
		return time.Minute, true
	case c == "":
		return usual, true
	case strings.Contains(c, "max-age=0"):
		return 0, true
	case strings.Contains(c, "max-age=1"):
		return time.Second, true
	}
	return time.Minute, true
}

// permits reports whether the API lets an answer to a request with Authorization be shared (RFC 9111 §3.5).
func (p plan) permits() bool {
	c := strings.ToLower(p.control)
	return strings.Contains(c, "public") || strings.Contains(c, "s-maxage") || strings.Contains(c, "must-revalidate")
}

// filler is as many bytes as asked, which nothing else has.
func filler(n int, of string) []byte {
	r := rand.NewPCG(hashOf(of), 1)
	b := make([]byte, n)
	for i := 0; i < n; {
		for v, left := r.Uint64(), 8; left > 0 && i < n; v, left, i = v>>8, left-1, i+1 {
			b[i] = 'a' + byte(v)%26
		}
	}
	return b
}

// newRequest makes what a client says next.
func newRequest(r *rand.Rand, user, nonce string) *request {
	q := &request{method: "GET", path: pathOf(r.IntN(len(prefixes) * resources)), proto: "HTTP/1.1", nonce: nonce}
	if oneIn(r, 2) { // hot ones, so that copies are read
		q.path = pathOf(r.IntN(3)*resources + r.IntN(3))
	}
	switch r.IntN(20) {
	case 0, 1:
		q.method = pick(r, "PUT", "POST", "DELETE", "PATCH")
	case 2:
		q.method = "HEAD"
	case 3:
		q.method = pick(r, "OPTIONS", "PROPFIND", "BREW", "REPORT")
	}
	if oneIn(r, 10) {
		q.query = pick(r, "a=1", "utm_source=x", "a=%2F%00&&b", "")
	}
	add := func(name, value string) { q.fields = append(q.fields, field{name, value}) }
	if !strings.HasPrefix(q.path, "/v/") && oneIn(r, 3) {
		q.who = user
		if oneIn(r, 2) {
			add("Cookie", pick(r, "", "x=1; ")+"session="+user)
		} else {
			add("Authorization", "Bearer "+user)
		}
	}
	if oneIn(r, 3) {
		add("Accept-Language", pick(r, "de", "en", "de-CH, de;q=0.5"))
	}
	if oneIn(r, 3) {
		add("X-Lang", pick(r, "x", "y", ""))
	}
	if oneIn(r, 4) {
		add("Accept-Encoding", pick(r, "gzip", "identity", "br, gzip;q=0.5", "*;q=0"))
	}
	if oneIn(r, 5) {
		add("Accept", pick(r, "*/*", "text/plain", "application/json;q=0.1, text/*"))
	}
	if oneIn(r, 8) {
		add("Cache-Control", pick(r, "no-cache", "max-age=0", "no-store", "only-if-cached", "max-stale=100"))
	}
	if oneIn(r, 8) {
		add("Range", pick(r, "bytes=0-9", "bytes=5-", "bytes=-7", "bytes=0-1,5-6", "bytes=999999999-", "bytes=9-3", "lines=1-2"))
	}
	if oneIn(r, 8) {
		add(pick(r, "If-None-Match", "If-Match", "If-Range"), pick(r, `"x"`, `W/"x"`, `*`, `"a", "b"`))
	}
	if oneIn(r, 10) {
		add(pick(r, "If-Modified-Since", "If-Unmodified-Since"), pick(r, "Thu, 01 Jan 2026 00:00:00 GMT", "yesterday", "Fri, 01 Jan 2038 00:00:00 GMT"))
	}
	if oneIn(r, 12) {
		add("X-Unlisted", pick(r, "1", "\xe4", strings.Repeat("x", 2000)))
	}
	if oneIn(r, 12) {
		add("Connection", pick(r, "keep-alive, X-Hop", "X-Hop"))
		add("X-Hop", "of this connection alone")
	}
	if q.method == "PUT" || q.method == "POST" || q.method == "PATCH" || oneIn(r, 30) {
		size := pick(r, 0, 1, 100, 10000, 70000)
		text := fmt.Sprintf("nonce=%s size=%d\nGET /smuggled/%s HTTP/1.1\r\nHost: attack.example\r\n\r\n", nonce, size, nonce)
		q.body = append([]byte(text), filler(size, nonce)...)
		q.chunked, q.expect = oneIn(r, 2), oneIn(r, 6)
	}
	if oneIn(r, 10) && !q.chunked && !q.expect && get(q.fields, "Connection") == "" {
		q.proto = "HTTP/1.0"
	}
	return q
}

// breakRequest makes a request malformed, so that where it ends is a matter of who reads it.
func breakRequest(r *rand.Rand, q *request) {
	head := func(extra string) string {
		return "POST " + q.path + " HTTP/1.1\r\nHost: attack.example\r\nUser-Agent: " + q.nonce + "\r\n" + extra
	}
	smuggled := "GET /smuggled/FORM/" + q.nonce + " HTTP/1.1\r\nHost: attack.example\r\n\r\n"
	forms := []struct{ name, raw string }{
		{"length and chunks", head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") + smuggled},
		{"two lengths", head("Content-Length: 0\r\nContent-Length: 5\r\n\r\n") + smuggled},
		{"signed length", head("Content-Length: +5\r\n\r\n") + smuggled},
		{"list of lengths", head("Content-Length: 0, 5\r\n\r\n") + smuggled},
		{"chunked twice", head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") + smuggled},
		{"another coding", head("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n") + smuggled},
		{"space before the colon", head("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n") + smuggled},
		{"folded", head("X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n")}, // a space is as good (RFC 9112 §5.2)
		{"bad chunk", head("Transfer-Encoding: chunked\r\n\r\nxyz\r\n") + smuggled},
		{"long chunk", head("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n") + smuggled},
		{"bare LF", strings.ReplaceAll(head("Content-Length: 0\n\n"), "\r\n", "\n")}, // may be taken for CRLF (RFC 9112 §2.2)
		{"NUL", head("X-A: a\x00b\r\nContent-Length: 0\r\n\r\n") + smuggled},
		{"no host", "GET " + q.path + " HTTP/1.1\r\nUser-Agent: " + q.nonce + "\r\n\r\n"},
		{"two hosts", head("Host: other.example\r\nContent-Length: 0\r\n\r\n")},
		{"1.0 and chunks", strings.Replace(head("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "HTTP/1.1", "HTTP/1.0", 1) + smuggled},
		{"another version", strings.Replace(head("\r\n"), "HTTP/1.1", "HTTP/3.7", 1)},
		{"noise", string(filler(200, q.nonce)) + "\r\n\r\n"},
	}
	form := pick(r, forms...)
	q.broken, q.raw, q.method = form.name, strings.ReplaceAll(form.raw, "FORM", strings.ReplaceAll(form.name, " ", "-")), "POST"
}
