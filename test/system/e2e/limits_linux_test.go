package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

var floodConnections = flag.Int("flood-connections", 600, "connections of each kind that TestMemoryOfConnections opens")

// limitsConfig has a route for every way in which a request takes memory.
const limitsConfig = `
h2c: true
drain_delay: 0s
shutdown_timeout: 1s
log: {hits: 0%%, others: 0%%}
memory: {size: 64MiB}
limits: {max_connections: 12000}
upstreams: [{name: origin, url: "%s", max_in_flight: 64, max_queue: 4000, queue_timeout: 20s, max_streams: 1000}]
routes:
  - {name: coded, match: GET /coded, policy: cache-aside, ttl: 1h, compression: zstd}
  - {name: plain, match: GET /plain, policy: cache-aside, ttl: 1h}
  - {name: question, match: POST /question, policy: cache-aside, ttl: 1h, content: {max: 1MiB}}
  - {name: named, match: POST /named, policy: bypass, invalidates: {keys: ["k:{body.id}"], otherwise: {keys: [x]}}}
  - {name: observed, match: "GET /observed/{id}", policy: cache-aside, ttl: 1h, mode: observe}
  - {name: rest, match: /, policy: bypass}
`

// Besides memory.size, the process takes so much for itself and for each connection, whatever clients do.
const (
	ownMemory        = 64 << 20
	connectionMemory = 32 << 10
	upstreamMemory   = (64 + 1000) * 32 << 10 // of its places and streams
)

// idler is one kind of client that takes memory. Each connection sends the same and reads nothing.
type idler struct {
	name  string
	sends string
	more  int // what a connection may take besides, in bytes
}

// idlers are all the ways in which a client can take its time.
func idlers() []idler {
	const host = "Host: a\r\n"
	large := strings.Repeat("x", 200<<10)
	wide := strings.Repeat("X-Large: "+strings.Repeat("x", 990)+"\r\n", 30)
	return []idler{
		{"idle", "", 0},
		{"header that does not end", "GET /plain HTTP/1.1\r\n" + host + "X: y", 0},
		{"large header that does not end", "GET /plain HTTP/1.1\r\n" + host + wide, 0},
		{"kept alive", "HEAD /plain HTTP/1.1\r\n" + host + "\r\n", 0},
		{"short body that does not come", "POST /x HTTP/1.1\r\n" + host + "Content-Length: 1000\r\n\r\n", 0},
		{"short body that stops", "POST /x HTTP/1.1\r\n" + host + "Content-Length: 16000\r\n\r\n" + large[:15999], 0},
		{"short body in chunks that stops", "POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3e80\r\n" + large[:15999], 0},
		{"expectation", "POST /x HTTP/1.1\r\n" + host + "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n", 0},
		{"long body that stops", "POST /x HTTP/1.1\r\n" + host + "Content-Length: 1000000\r\n\r\n" + large, 0},
		{"large header and a body that stops", "POST /x HTTP/1.1\r\n" + host + wide + "Content-Length: 1000\r\n\r\nx", 0},
		{"content that stops", "POST /question HTTP/1.1\r\n" + host + "Content-Length: 1000000\r\n\r\n" + large, 0},
		{"names that stop", "POST /named HTTP/1.1\r\n" + host + "Content-Length: 1000000\r\n\r\n" + large, 0},
		{"reader of a copy", "GET /plain HTTP/1.1\r\n" + host + "\r\n", 0},
		{"reader of a copy that is unpacked", "GET /coded HTTP/1.1\r\n" + host + "Accept-Encoding: identity\r\n\r\n", 0},
		{"reader of ranges that are unpacked", "GET /coded HTTP/1.1\r\n" + host + "Accept-Encoding: identity\r\nRange: bytes=0-4000000,5000000-\r\n\r\n", 0},
		{"reader of what passes", "GET /long HTTP/1.1\r\n" + host + "\r\n", 0},
		// No limit holds it, so that each has an exchange with the API of its own.
		{"reader of what is compared", "GET /observed/1 HTTP/1.1\r\n" + host + "\r\n", connectionMemory},
		{"stream", "GET /events HTTP/1.1\r\n" + host + "\r\n", 0},
		{"HTTP/2, idle", overHTTP2(func(*http2.Framer, []byte) {}, "GET", "/plain"), 16 << 10},
		{"HTTP/2, readers of a copy", overHTTP2(func(f *http2.Framer, fields []byte) {
			for i := range uint32(streams) {
				_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: fields, EndHeaders: true, EndStream: true})
			}
		}, "GET", "/plain"), 16<<10 + streams*connectionMemory},
		{"HTTP/2, bodies that stop", overHTTP2(func(f *http2.Framer, fields []byte) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields, EndHeaders: true})
			for range 15 {
				_ = f.WriteData(1, false, make([]byte, 16<<10))
			}
		}, "POST", "/x"), 16<<10 + connectionMemory + uploadBuffer},
	}
}

// streams is how many streams each connection of HTTP/2 opens, and uploadBuffer what one may send ahead.
const (
	streams      = 4
	uploadBuffer = 256 << 10
)

// overHTTP2 is what a client sends over HTTP/2 that opens no window for the answers. send gets the fields of a request.
func overHTTP2(send func(f *http2.Framer, fields []byte), method, path string) string {
	var b, fields bytes.Buffer
	b.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&b, nil)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	enc := hpack.NewEncoder(&fields)
	enc.SetMaxDynamicTableSize(0) // so that each stream can send the same
	for _, field := range []hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: path}} {
		_ = enc.WriteField(field)
	}
	send(f, fields.Bytes())
	return b.String()
}

// longOrigin has long answers, streams, and eats what it is sent.
func longOrigin(t *testing.T) string {
	text := bytes.Repeat([]byte(`{"id":4711,"title":"Kettle","price":{"currency":"EUR","amount_cents":4999}},`), 6<<20/76)
	for i := range text {
		if i%97 == 0 {
			text[i] = byte('a' + (i*i/97)%26)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/x", "/question", "/named":
			_, _ = io.Copy(io.Discard, r.Body)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = w.Write(text)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// settling is for how long the process is watched after all clients are there: streams are given away after a second.
const settling = 2 * time.Second

// What clients can have the process keep for them is memory.size, and a bounded amount for each connection, by whatever they keep it
// waiting.
func TestMemoryOfConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < uint64(2**floodConnections+2000) {
		t.Skipf("this process may have %d files open: %v", limit.Cur, err)
	}
	origin := longOrigin(t)
	for _, kind := range idlers() {
		t.Run(kind.name, func(t *testing.T) {
			if *floodConnections <= 1000 { // else one process takes all that the machine has
				t.Parallel()
			}
			p := serveConfig(t, fmt.Sprintf(limitsConfig, origin))
			for _, path := range []string{"/plain", "/coded", "/observed/1"} {
				fetch(t, p, path)
			}
			before := p.memory(t, "VmRSS")
			swarmOf(t, p, kind, *floodConnections)
			peak := 0
			for end := time.Now().Add(settling); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
				peak = max(peak, p.memory(t, "VmRSS"))
			}
			most := 64<<20 + ownMemory + upstreamMemory + *floodConnections*(connectionMemory+kind.more)
			t.Logf("%d MiB, %d MiB before, at most %d; %.1f KiB a connection", peak>>20, before>>20, most>>20, float64(peak-before)/float64(*floodConnections)/1024)
			if peak > most {
				t.Errorf("%d connections: the process took %d MiB, want at most %d", *floodConnections, peak>>20, most>>20)
			}
			fetch(t, p, "/plain")
		})
	}
}

func fetch(t *testing.T, p *process, path string) {
	t.Helper()
	res, err := (&http.Client{Timeout: patience}).Get(p.data + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: %d, %v", path, res.StatusCode, err)
	}
}

// swarmOf opens connections whose clients hardly read.
func swarmOf(t *testing.T, p *process, kind idler, n int) {
	t.Helper()
	var conns []net.Conn
	t.Cleanup(func() {
		for _, conn := range conns {
			conn.Close()
		}
	})
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	for range n {
		conn, err := dialer.Dial("tcp", strings.TrimPrefix(p.data, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		_ = conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		_, _ = io.WriteString(conn, kind.sends) // as far as it is taken
	}
}
