package attack

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// record is one answer of the API: what it said, of what, to whom.
type record struct {
	serial             uint64
	key                int
	path               string
	plan               plan
	version            int64
	who, lang, xlang   string // as the body says them
	method             string
	status             int
	at                 time.Time // when it was made
	cookied, authorize bool      // it answers a request with credentials
	language, x        string    // of the request
	sent               []field   // the fields that it had
}

// content is the whole body.
func (c *record) content() []byte {
	if c.status == 204 {
		return nil
	}
	head := fmt.Sprintf("path=%s version=%d who=%s lang=%s xlang=%s\n", c.path, c.version, c.who, c.lang, c.xlang)
	return append([]byte(head), filler(c.plan.size, head)...)
}

func (c *record) etag() string {
	if c.plan.etag == "" {
		return ""
	}
	tag := fmt.Sprintf(`"%d-%x"`, c.version, hashOf(c.path+" "+c.who+" "+c.lang+" "+c.xlang))
	if c.plan.etag == "weak" {
		tag = "W/" + tag
	}
	return tag
}

// heard is a request as the API has heard it.
type heard struct {
	line   string
	fields []field
	body   []byte
	whole  bool
}

// kept is for how long answers are remembered: longer than any of them may be used.
const kept = 3 * time.Minute

// api answers by plans, over connections that it reads by itself.
type api struct {
	seed     uint64
	listener net.Listener
	versions []atomic.Int64
	serials  atomic.Uint64
	find     *findings

	mu      sync.Mutex
	records map[uint64]*record // guarded by mu
	heard   map[string]*heard  // by nonce, of requests that pass; guarded by mu
	open    map[net.Conn]bool  // guarded by mu
}

func newAPI(seed uint64, find *findings) (*api, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &api{
		seed: seed, listener: l, versions: make([]atomic.Int64, len(prefixes)*resources), find: find,
		records: map[uint64]*record{}, heard: map[string]*heard{}, open: map[net.Conn]bool{},
	}
	go a.accept()
	return a, nil
}

func (a *api) accept() {
	for {
		c, err := a.listener.Accept()
		if err != nil {
			return
		}
		a.mu.Lock()
		a.open[c] = true
		a.mu.Unlock()
		go func() {
			a.serve(c)
			c.Close()
			a.mu.Lock()
			delete(a.open, c)
			a.mu.Unlock()
		}()
	}
}

func (a *api) close() {
	a.listener.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.open {
		c.Close()
	}
}

func (a *api) recordOf(serial uint64) *record {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.records[serial]
}

// take gives what was heard of a request, once.
func (a *api) take(nonce string) *heard {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.heard[nonce]
	delete(a.heard, nonce)
	return h
}

func (a *api) keep(c *record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.records[c.serial] = c
	if c.serial%4096 == 0 {
		for serial, old := range a.records {
			if time.Since(old.at) > kept {
				delete(a.records, serial)
			}
		}
	}
}

func readHead(r *bufio.Reader) (line string, fields []field, err error) {
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return line, fields, err
		}
		text = strings.TrimRight(text, "\r\n")
		switch {
		case text == "" && line == "":
		case text == "":
			return line, fields, nil
		case line == "":
			line = text
		default:
			name, value, _ := strings.Cut(text, ":")
			fields = append(fields, field{name, strings.Trim(value, " \t")})
		}
	}
}

func (a *api) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		line, fields, err := readHead(r)
		if err != nil {
			return
		}
		h := &heard{line: line, fields: fields}
		if get(fields, "Expect") != "" {
			fmt.Fprint(c, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		h.body, h.whole = readBody(r, fields)
		if !a.hear(h) || !h.whole || !a.answer(c, h) {
			return
		}
	}
}

func readBody(r *bufio.Reader, fields []field) (body []byte, whole bool) {
	if coding := get(fields, "Transfer-Encoding"); coding != "" {
		body, err := io.ReadAll(httputil.NewChunkedReader(r))
		if err != nil {
			return body, false
		}
		_, _, err = readTrailers(r)
		return body, err == nil
	}
	n, _ := strconv.Atoi(get(fields, "Content-Length"))
	body = make([]byte, n)
	got, err := io.ReadFull(r, body)
	return body[:got], err == nil
}

// readTrailers reads up to the empty line after the last chunk.
func readTrailers(r *bufio.Reader) (fields []field, n int, err error) {
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return fields, n, err
		}
		if text = strings.TrimRight(text, "\r\n"); text == "" {
			return fields, n, nil
		}
		name, value, _ := strings.Cut(text, ":")
		fields = append(fields, field{name, strings.Trim(value, " \t")})
	}
}

// hear looks at a request for what must never reach the API.
func (a *api) hear(h *heard) bool {
	words := strings.Split(h.line, " ")
	if len(words) != 3 || strings.HasPrefix(words[1], "/smuggled") || words[2] != "HTTP/1.1" {
		a.find.add("smuggled", "", fmt.Sprintf("the API was sent %q with %v", h.line, h.fields))
		return false
	}
	if get(h.fields, "Transfer-Encoding") != "" && get(h.fields, "Content-Length") != "" || strings.Contains(get(h.fields, "Content-Length"), ",") {
		a.find.add("smuggled", "", fmt.Sprintf("the API was sent a head with two lengths: %q %v", h.line, h.fields))
	}
	if nonce := get(h.fields, "User-Agent"); h.whole && len(h.body) > 0 && nonce != "" {
		size := -1
		_, _ = fmt.Sscanf(string(h.body), "nonce="+nonce+" size=%d\n", &size)
		if size < 0 || !bytes.HasSuffix(h.body, filler(size, nonce)) {
			a.find.add("bytes", "", fmt.Sprintf("the API was sent a body of %d bytes by %s that it never had: %.80q", len(h.body), nonce, h.body))
		}
	}
	return true
}

// answer answers, and reports whether another request may come on the connection.
func (a *api) answer(c net.Conn, h *heard) bool {
	words := strings.Split(h.line, " ")
	method := words[0]
	path, _, _ := strings.Cut(words[1], "?")
	key := keyOf(path)
	if key < 0 {
		fmt.Fprint(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		return true
	}
	nonce := get(h.fields, "User-Agent")
	if passes(path) && nonce != "" {
		a.mu.Lock()
		a.heard[nonce] = h
		a.mu.Unlock()
	}
	p := planOf(a.seed, path)
	version := a.versions[key].Load()
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH":
	default:
		pause(rand.N(time.Millisecond))
		version = a.versions[key].Add(1)
	}
	e := &record{
		serial: a.serials.Add(1), key: key, path: path, plan: p, version: version, method: method, status: p.status, at: time.Now(),
		cookied: get(h.fields, "Cookie") != "", authorize: get(h.fields, "Authorization") != "",
		language: get(h.fields, "Accept-Language"), x: get(h.fields, "X-Lang"),
	}
	control := p.control
	if p.personal {
		_, e.who, _ = strings.Cut(get(h.fields, "Cookie"), "session=")
		if token, ok := strings.CutPrefix(get(h.fields, "Authorization"), "Bearer "); ok && e.who == "" {
			e.who = token
		}
		if e.who != "" && e.authorize && p.permits() {
			control, e.plan.control = "private", "private" // it would be right to share it
		}
	}
	if strings.Contains(p.vary, "Accept-Language") {
		e.lang = e.language
	}
	if strings.Contains(p.vary, "X-Lang") {
		e.xlang = e.x
	}
	work := rand.N(2 * time.Millisecond)
	if rand.IntN(50) == 0 {
		work *= 20
	}
	pause(work)
	return a.write(c, h, e, control)
}

// write sends an answer as its plan says, broken off where that is rough.
func (a *api) write(c net.Conn, h *heard, e *record, control string) (again bool) {
	p, body := e.plan, e.content()
	add := func(name, value string) { e.sent = append(e.sent, field{name, value}) }
	add("X-Serial", strconv.FormatUint(e.serial, 10))
	add("Date", e.at.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
	add("Content-Type", "text/plain")
	if control != "" {
		add("Cache-Control", control)
	}
	if p.vary != "" {
		add("Vary", p.vary)
	}
	if tag := e.etag(); tag != "" {
		add("ETag", tag)
	}
	if p.modified {
		add("Last-Modified", time.Unix(1767225600+e.version, 0).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
	}
	if p.age > 0 {
		add("Age", strconv.Itoa(p.age))
	}
	if p.cookie {
		add("Set-Cookie", "a=1; Path=/")
		add("Set-Cookie", "b=2")
	}
	if p.status == 301 || p.status == 302 {
		add("Location", "/elsewhere")
	}
	add("X-Twice", "1")
	add("X-Twice", "2")
	add("X-Empty", "")
	read := e.method == "GET" || e.method == "HEAD"
	first, last := 0, len(body)-1
	if read && e.etag() != "" && p.status == 200 && get(h.fields, "If-None-Match") == e.etag() {
		e.status = 304
	} else if _, err := fmt.Sscanf(get(h.fields, "Range"), "bytes=%d-%d", &first, &last); err == nil && e.method == "GET" && p.ranges && p.status == 200 &&
		first < len(body) && first <= last && get(h.fields, "If-Range") == "" && !strings.Contains(get(h.fields, "Range"), ",") {
		last = min(last, len(body)-1)
		e.status = 206
		add("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(body)))
	} else {
		first, last = 0, len(body)-1
	}
	a.keep(e)
	part := body[first : last+1]
	var out bytes.Buffer
	for _, status := range p.interim {
		fmt.Fprintf(&out, "HTTP/1.1 %d Interim\r\nLink: </a>; rel=preload\r\n\r\n", status)
	}
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", e.status, "Whatever")
	for _, f := range e.sent {
		fmt.Fprintf(&out, "%s: %s\r\n", f.name, f.value)
	}
	if oneInNow(20) {
		fmt.Fprint(&out, "Connection: close\r\n")
	} else {
		again = true
	}
	bare := e.method == "HEAD" || e.status == 304 || e.status == 204
	form := p.form
	if e.status == 204 {
		form = -1
	}
	switch form {
	case byLength:
		fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n", len(part))
		if !bare {
			out.Write(part)
		}
	case byChunks, byTrailers:
		fmt.Fprint(&out, "Transfer-Encoding: chunked\r\n")
		if form == byTrailers {
			fmt.Fprint(&out, "Trailer: X-Sum\r\n")
		}
		fmt.Fprint(&out, "\r\n")
		if !bare {
			for len(part) > 0 {
				n := min(len(part), 1+rand.IntN(20000))
				fmt.Fprintf(&out, "%x\r\n%s\r\n", n, part[:n])
				part = part[n:]
			}
			fmt.Fprint(&out, "0\r\n")
			if form == byTrailers {
				fmt.Fprint(&out, "X-Sum: 1\r\n")
			}
			fmt.Fprint(&out, "\r\n")
		}
	default:
		fmt.Fprint(&out, "\r\n")
		if again = bare && again; !bare {
			out.Write(part)
		}
	}
	all := out.Bytes()
	if bare && oneInNow(3) {
		// What follows the head of an answer to HEAD, or of a 304, is nobody's answer. It looks like one.
		out.WriteString("HTTP/1.1 200 OK\r\nX-Serial: 1\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\npoison")
		all = out.Bytes()
	}
	if p.rough && !bare && oneInNow(10) { // none of which is an answer
		all = []byte(pick(rand.New(rand.NewPCG(e.serial, 0)), "HTTP/1.1 abc Odd\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: xyz\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "\x00\x01\x02", "HTTP/1.1 200 OK\r\nbad line\r\n\r\n"))
		again = false
	}
	if p.rough && oneInNow(3) && (form == byLength || form == byChunks || form == byTrailers) && !bare {
		all = all[:rand.IntN(len(all))]
		again = false
	}
	for len(all) > 0 {
		n := len(all)
		if p.slow && (!bare || e.method == "HEAD") { // what comes after a 304 a moment later nobody could tell from the next answer
			n = min(n, 1+rand.IntN(len(all)/3+1))
			pause(rand.N(5 * time.Millisecond))
		}
		if _, err := c.Write(all[:n]); err != nil {
			return false
		}
		all = all[n:]
	}
	return again
}

func oneInNow(n int) bool { return rand.IntN(n) == 0 }

func pause(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}
