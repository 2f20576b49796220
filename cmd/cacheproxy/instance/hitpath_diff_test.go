package instance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/test/wire"
)

// everyKind is a configuration with a route for each way in which a request for a stored URL may be answered otherwise.
const everyKind = `
upstreams: [{name: origin, url: "ORIGIN"}]
trusted_proxies: [192.0.2.0/24]
cache_status: on
routes:
  - {name: plain, match: "GET /plain/{id}", policy: cache-aside, ttl: 1h, key: "plain:{id}"}
  - {name: vary, match: "GET /vary/", policy: cache-aside, ttl: 1h, headers: [X-Tenant]}
  - {name: typed, match: "GET /where/", policy: cache-aside, ttl: 1h, where: {header.X-App: app}}
  - {name: clients, match: "GET /clients/", policy: cache-aside, ttl: 1h, where: {client: 198.51.100.0/24}}
  - {name: observed, match: "GET /observed/", policy: cache-aside, ttl: 1h, mode: observe}
  - {name: off, match: "GET /off/", policy: cache-aside, ttl: 1h, mode: "off"}
  - {name: changed, match: "GET /changed/", policy: cache-aside, ttl: 1h, response: {set: {X-Set: "1"}, remove: [X-Powered-By]}}
  - {name: cors, match: "GET /cors/", policy: cache-aside, ttl: 1h}
  - {name: packed, match: "GET /packed/", policy: cache-aside, ttl: 1h, compression: gzip}
  - {name: asked, match: "GET /asked/", policy: cache-aside, ttl: 1h, client_cache_control: honor}
  - {name: passed, match: "GET /passed/", policy: bypass}
`

// stored are the URLs that are read before the comparison begins.
var stored = []string{
	"/plain/1", "/plain/2?a=b", "/plain/odd", "/plain/gone", "/plain/moved", "/plain/empty", "/plain/long", "/plain/huge", "/vary/1", "/where/1", "/clients/1", "/observed/1",
	"/off/1", "/changed/1", "/cors/1", "/packed/long", "/asked/1", "/passed/1",
}

// sides are two instances that differ in the path of hits alone.
type sides struct {
	origins   [2]*recordingOrigin
	instances [2]*Instance
	addresses [2]string
}

func newSides(t testing.TB, changes ...string) *sides {
	s := &sides{}
	for i, way := range []string{"hit_path: true\n", "hit_path: false\n"} {
		s.origins[i] = &recordingOrigin{}
		s.instances[i] = newOnPath(t, s.origins[i], way+strings.NewReplacer(changes...).Replace(everyKind))
		s.addresses[i] = serveData(t, s.instances[i])
	}
	for _, path := range stored {
		for range 2 {
			s.compare(t, []byte("GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), nil)
		}
	}
	return s
}

// compare sends the same bytes to both, in the same pieces, and compares what comes back and what the origins see.
func (s *sides) compare(t testing.TB, sent []byte, cuts []int) (answer string) {
	t.Helper()
	answer = s.answers(t, sent, cuts)
	s.compareSeen(t, sent)
	return answer
}

// answers compares what comes back.
func (s *sides) answers(t testing.TB, sent []byte, cuts []int) string {
	t.Helper()
	answers := s.exchange(t, sent, cuts)
	// A server that rejects a head before it has all of it closes while pieces are still sent: what arrives then makes the client's system drop
	// what it has not read. That is the network's chance on both paths, so the request is made again.
	for range 10 {
		if !endCut(answers[0], answers[1]) && !endCut(answers[1], answers[0]) {
			break
		}
		answers = s.exchange(t, sent, cuts)
	}
	for i := range answers {
		answers[i] = strings.TrimSuffix(answers[i], wasReset)
	}
	if answers[0] != answers[1] {
		at := 0
		for at < min(len(answers[0]), len(answers[1])) && answers[0][at] == answers[1][at] {
			at++
		}
		t.Errorf("%s cut at %v is answered\n%s\nby the path of hits, not\n%s\n(the first %d bytes are the same)", short(string(sent)), cuts, short(answers[0][at:]), short(answers[1][at:]), at)
	}
	return answers[0]
}

// exchange is what comes back on the path of hits, and on the other.
func (s *sides) exchange(t testing.TB, sent []byte, cuts []int) (answers [2]string) {
	var both sync.WaitGroup
	for i, address := range s.addresses {
		both.Go(func() { answers[i] = normal(exchangeBytes(t, address, sent, cuts)) })
	}
	both.Wait()
	return answers
}

// wasReset ends what was read from a connection that was reset.
const wasReset = " (reset)"

// endCut says whether a reset may have taken the end of the first answer.
func endCut(one, other string) bool {
	read, reset := strings.CutSuffix(one, wasReset)
	whole := strings.TrimSuffix(other, wasReset)
	return reset && read != whole && strings.HasPrefix(whole, read)
}

// compareSeen compares what the origins have seen since the last time.
func (s *sides) compareSeen(t testing.TB, of []byte) {
	t.Helper()
	a, b := s.origins[0].take(), s.origins[1].take()
	if slices.Equal(a, b) {
		return
	}
	only := func(these, those []string) (only []string) {
		for _, one := range those {
			if at := slices.Index(these, one); at >= 0 {
				these = slices.Delete(slices.Clone(these), at, at+1)
			}
		}
		return these
	}
	t.Errorf("of %s the origin sees\n%s\nby the path of hits alone, and\n%s\nby the other alone", short(string(of)), short(strings.Join(only(a, b), "\n")), short(strings.Join(only(b, a), "\n")))
}

func short(s string) string {
	if len(s) > 700 {
		return fmt.Sprintf("%q… (%d bytes)", s[:700], len(s))
	}
	return strconv.Quote(s)
}

// silent is how long nothing comes from a server that waits for more.
const silent = 2 * time.Second

// exchangeBytes sends bytes in pieces, reads until the server closes, and tells it that nothing follows when it waits for that.
func exchangeBytes(t testing.TB, address string, sent []byte, cuts []int) string {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer conn.Close()
	go func() {
		at := 0
		for _, cut := range append(slices.Clone(cuts), len(sent)) {
			if _, err := conn.Write(sent[at:cut]); err != nil {
				return
			}
			if at = cut; at < len(sent) {
				<-time.After(time.Millisecond) // else the system joins the pieces
			}
		}
	}()
	var all strings.Builder
	halfClosed, buffer := false, make([]byte, 64<<10)
	for {
		conn.SetReadDeadline(time.Now().Add(silent + time.Duration(len(cuts))*2*time.Millisecond))
		n, err := conn.Read(buffer)
		all.Write(buffer[:n])
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && !halfClosed:
			halfClosed = true
			conn.(*net.TCPConn).CloseWrite()
		case errors.Is(err, os.ErrDeadlineExceeded):
			all.WriteString(" (stays open)")
			return all.String()
		case errors.Is(err, io.EOF):
			return all.String()
		default:
			return all.String() + wasReset
		}
	}
}

// differing is what of an answer differs from one moment to the next, or between two instances: keys begin with a hash of the configuration, in
// which the origins are not the same.
var differing = regexp.MustCompile(`(?m)^((?:Date|Age|X-Request-Id): ).*?\r$|(ttl=)\d+|(request id: )[0-9a-f]{32}|(key=").*?%0[45]http`)

// normal takes out of an answer, or of several, what differs from one to the next. The expression sees only lines that may have any of it,
// since with the race detector it takes milliseconds for a body.
func normal(answer string) string {
	var out strings.Builder
	for line := range strings.Lines(answer) {
		if slices.ContainsFunc([]string{"Date: ", "Age: ", "X-Request-Id: ", "ttl=", "request id: ", `key="`}, func(s string) bool { return strings.Contains(line, s) }) {
			line = differing.ReplaceAllString(line, "$1$2$3$4")
		}
		out.WriteString(line)
	}
	return out.String()
}

// fieldSets are what requests for what is stored say besides their Host.
var fieldSets = []string{
	"", browserFields, "If-None-Match: \"v1\"\r\n", "if-none-match: W/\"v1\", \"x\"\r\nUser-Agent: curl/8\r\n", "If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT\r\n",
	"If-Match: \"v2\"\r\n", "Range: bytes=0-9\r\n", "Cookie: a=b\r\n", "Authorization: Basic YTpi\r\n", "Accept-Encoding: gzip\r\n", "Accept-Encoding: identity\r\n", "X-Tenant: 7\r\n", "X-App: app\r\n",
	"Origin: https://shop.example\r\n", "Cache-Control: no-cache\r\n", "Cache-Control: max-age=0\r\n", "Cache-Control: only-if-cached\r\n", "Pragma: no-cache\r\n", "X-Unlisted: 1\r\n", "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n",
	"X-Request-Id: abc\r\n", "Connection: keep-alive\r\n", "TE: trailers\r\n", "Accept-Language: de\r\nAccept: application/json\r\n", "X-Kind: 1\r\n", "X-Http-Method-Override: DELETE\r\n", "Via: 1.1 x\r\n", "Keep-Alive: timeout=5\r\n",
	"X-A: 1\r\nX-A: 2\r\n", "Accept: text/html\r\nAccept: */*\r\n",
}

// aRequest makes a request that both understand, mostly.
func aRequest(r *rand.Rand, serial *int) string {
	path, fields := stored[r.IntN(len(stored))], fieldSets[r.IntN(len(fieldSets))]
	if r.IntN(3) == 0 {
		fields = ""
	}
	*serial++
	switch r.IntN(16) {
	case 0:
		return fmt.Sprintf("GET /plain/new-%d HTTP/1.1\r\nHost: a\r\n%s\r\n", *serial, fields)
	case 1:
		return fmt.Sprintf("POST /passed/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n%s\r\nhello", *serial, fields)
	case 2:
		return fmt.Sprintf("PUT /passed/%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", *serial)
	case 3:
		return "HEAD " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n"
	case 4:
		return "OPTIONS " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n"
	case 5:
		return "GET " + path + " HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n" + fields + "\r\n"
	case 6:
		return "GET http://a" + path + " HTTP/1.1\r\nHost: b\r\n" + fields + "\r\n"
	case 7:
		return "GET " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	}
	return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n"
}

// hostile are requests that recipients may read differently, and what an attacker puts behind them.
var hostile = []string{
	"POST /passed/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\nFoo: x\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", "GET /plain/1 HTTP/1.1\nHost: a\n\n", "GET /plain/1 HTTP/1.1\r\nHost: a\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\n\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\n\rX", "GET /plain/1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET /plain/1 HTTP/1.1\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: \r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a b\r\n\r\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", "GET /plain/\x00 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /plain/1%00 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /plain/%zz HTTP/1.1\r\nHost: a\r\n\r\n", "GET /plain/1#x HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET  /plain/1 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /plain/1  HTTP/1.1\r\nHost: a\r\n\r\n", "GET /plain/1 HTTP/1.1\r\n Host: a\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost : a\r\n\r\n", "\r\nGET /plain/1 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nConnection: close, If-None-Match\r\nIf-None-Match: \"v1\"\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\nConnection: Cookie\r\nCookie: a=b\r\n\r\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\nX-Big: " + strings.Repeat("x", 5000) + "\r\n\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\nX-Big: " + strings.Repeat("x", 80_000) + "\r\n\r\n",
	"GET /plain/1 HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-Many: 1\r\n", 200) + "\r\n", "GET /plain/1 HTTP/1.1\r\nHost: a\r\n", "GET /plain/1 HTT", "G", "\x16\x03\x01\x02\x00\x01\x00",
	"PUT /broken/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", "PUT /broken/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 ;\r\nhello\r\n0\r\n\r\n",
	"PUT /broken/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "TRACE /plain/1 HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "PURGE /plain/1 HTTP/1.1\r\nHost: a\r\n\r\n", "get /plain/1 HTTP/1.1\r\nHost: a\r\n\r\n",
}

const goodbyeRequest = "GET /plain/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

// What a client gets, and what the origin sees, does not depend on the path of hits: for what is hostile, alone, between hits, whole and in
// pieces.
func TestHitPathHostile(t *testing.T) {
	s := newSides(t)
	const aHit = "GET /plain/1 HTTP/1.1\r\nHost: a\r\n\r\n"
	r := rand.New(rand.NewPCG(1, 2))
	var running sync.WaitGroup
	places := make(chan struct{}, 16) // most of the time they wait
	for n, request := range hostile {
		for way := range 3 {
			path := fmt.Sprintf("/plain/h%d-%d", n, way) // of its own: some are unsafe methods
			s.answers(t, []byte("GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), nil)
			sent, cuts := request+goodbyeRequest, []int(nil)
			switch way {
			case 1:
				sent = aHit + request + aHit + goodbyeRequest
			case 2:
				sent, cuts = aHit+request, cutsOf(r, len(aHit+request))
			}
			sent = strings.ReplaceAll(sent, "/plain/1", path)
			places <- struct{}{}
			running.Go(func() {
				defer func() { <-places }()
				s.answers(t, []byte(sent), cuts)
			})
		}
	}
	running.Wait()
	s.compareSeen(t, []byte("all of it"))
}

// cutsOf is a few places at which to cut, in order.
func cutsOf(r *rand.Rand, length int) (cuts []int) {
	for range r.IntN(4) {
		cuts = append(cuts, r.IntN(length))
	}
	slices.Sort(cuts)
	return slices.Compact(cuts)
}

// The same holds for what clients send, at random: hits and all else on one connection, pipelined or one after the other, in pieces.
func TestHitPathMixed(t *testing.T) {
	s := newSides(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	serial, hits := 0, 0
	for range 60 {
		var sent strings.Builder
		for range 1 + r.IntN(6) {
			next, before := aRequest(r, &serial), sent.String()
			if strings.Contains(before, "HTTP/1.0") && strings.Contains(next, "chunked") || strings.Contains(before, "chunked") && strings.Contains(next, "Content-Length") {
				continue // else the one is refused, or closes the connection, for the other, if both come at once
			}
			sent.WriteString(next)
		}
		sent.WriteString(goodbyeRequest)
		b := []byte(sent.String())
		hits += strings.Count(s.compare(t, b, cutsOf(r, len(b))), "; hit")
	}
	if hits < 90 {
		t.Errorf("%d hits", hits)
	}
}

// Clients that wait for each answer get the same ones, and are counted alike.
func TestHitPathOneByOne(t *testing.T) {
	for name, changes := range map[string][]string{
		"as usual": nil, "behind a proxy": {"192.0.2.0/24", "127.0.0.0/8", "cache_status: on", "cache_status: key"}, "silent": {"cache_status: on", `cache_status: "off"`},
	} {
		t.Run(name, func(t *testing.T) { oneByOne(t, newSides(t, changes...)) })
	}
}

func oneByOne(t *testing.T, s *sides) {
	r := rand.New(rand.NewPCG(3, 4))
	var conns [2]net.Conn
	var readers [2]*bufio.Reader
	dial := func() {
		for i, address := range s.addresses {
			conns[i] = wire.Dial(t, address)
			readers[i] = bufio.NewReader(conns[i])
		}
	}
	dial()
	serial, hits := 0, 0
	for range 400 {
		request := aRequest(r, &serial)
		if strings.Contains(request, "HTTP/1.0") {
			continue
		}
		var answers [2]string
		var closes [2]bool
		for i := range conns {
			conns[i].SetDeadline(time.Now().Add(time.Minute)) // not that of the dialling
			io.WriteString(conns[i], request)
			method, _, _ := strings.Cut(request, " ")
			res, err := http.ReadResponse(readers[i], &http.Request{Method: method})
			if err != nil {
				t.Fatalf("%q: %v", request, err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatalf("%q: %v", request, err)
			}
			var head strings.Builder
			_ = res.Header.Write(&head) // memory
			closes[i] = res.Close
			answers[i] = normal(res.Status + "\r\n" + head.String() + "\r\n" + string(body))
		}
		if answers[0] != answers[1] {
			t.Errorf("%q is answered\n%.2000q, not\n%.2000q", request, answers[0], answers[1])
		}
		if a, b := s.origins[0].take(), s.origins[1].take(); !slices.Equal(a, b) {
			t.Errorf("of %q the origin sees\n%q, not\n%q", request, a, b)
		}
		hits += strings.Count(answers[0], "Age: ")
		if closes[0] != closes[1] {
			t.Errorf("%q ends the connection: %v, not %v", request, closes[0], closes[1])
		}
		if closes[0] || closes[1] {
			dial()
		}
	}
	if hits < 100 {
		t.Errorf("%d hits", hits)
	}
	if a, b := counted(s.instances[0]), counted(s.instances[1]); !slices.Equal(a, b) || len(a) < 10 {
		t.Errorf("counted are\n%s\nby the path of hits, not\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

// counted is what an instance's metrics say of requests.
func counted(i *Instance) (lines []string) {
	w := httptest.NewRecorder()
	i.calls.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "cacheproxy_requests_total") || strings.HasPrefix(line, "cacheproxy_response_bytes_total") || strings.HasPrefix(line, "cacheproxy_request_seconds_count") {
			lines = append(lines, line)
		}
	}
	return lines
}
