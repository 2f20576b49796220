package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// hostileConfig has a short limit where clients that are well never come near it.
const hostileConfig = `
h2c: true
drain_delay: 0s
shutdown_timeout: 1s
log: {hits: 0%%, others: 0%%}
memory: {size: 64MiB}
limits: {max_connections: 10000, body_timeout: 5s}
upstreams: [{name: origin, url: "%s", max_in_flight: %d}]
routes:
  - {name: hit, match: GET /hit, policy: cache-aside, ttl: 1h}
  - {name: pass, match: /, policy: bypass}
`

// manyPlaces at the origin are more than attackers fill: who gets one is not what is tested.
const manyPlaces = 10_000

// hostileBound is what the process may take while somebody attacks it.
const hostileBound = 512 << 20

// under attacks a proxy while ordinary clients ask, none of whom may notice, and bounds what the process takes.
func under(t *testing.T, places int, attack func(p *process)) {
	t.Helper()
	p := serveConfig(t, fmt.Sprintf(hostileConfig, constantOrigin(t), places))
	clients := startLoad(t, p.data)
	attack(p)
	clients.more(t, 500)
	clients.stop(t)
	peak := p.memory(t, "VmHWM")
	t.Logf("took %d MiB at most, %d open files of %s", peak>>20, p.files(t), metric(t, p, "process_max_fds"))
	if peak > hostileBound {
		t.Errorf("the process took %d MiB, want at most %d", peak>>20, hostileBound>>20)
	}
	eventually(t, "nothing is left at the origin", func() bool { return metric(t, p, `cacheproxy_origin_in_flight{upstream="origin"}`) == "0" })
	p.stop(t, patience)
}

func (p *process) files(t testing.TB) int {
	t.Helper()
	n, err := strconv.ParseFloat(metric(t, p, "process_open_fds"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// swarm opens connections, each of which begins with the same bytes.
func swarm(t *testing.T, p *process, n int, first string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, 0, n)
	t.Cleanup(func() {
		for _, conn := range conns {
			conn.Close()
		}
	})
	for range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.data, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		if _, err := io.WriteString(conn, first); err != nil {
			t.Fatal(err)
		}
	}
	return conns
}

// waiting is how many connections have no request at work.
func waiting(t testing.TB, p *process) int {
	t.Helper()
	n, err := strconv.ParseFloat(metric(t, p, `cacheproxy_connections{state="waiting"}`), 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// Slowloris: a thousand headers that never end.
func TestSlowHeaders(t *testing.T) {
	under(t, manyPlaces, func(p *process) {
		conns := swarm(t, p, 1000, "GET /hit HTTP/1.1\r\nHost: a\r\n")
		for _, conn := range conns {
			io.WriteString(conn, "X-A: b\r\n")
		}
		eventually(t, "they count as waiting", func() bool { return waiting(t, p) >= 1000 })
	})
}

// Bodies that never end hold no place at the origin while they are short, and none for long while they are not.
func TestSlowBodies(t *testing.T) {
	under(t, 2*loadClients, func(p *process) {
		short := swarm(t, p, 200, "POST /short HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx")
		for _, conn := range short {
			if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if said, err := io.ReadAll(conn); err != nil || !bytes.HasPrefix(said, []byte("HTTP/1.1 408 ")) {
				t.Fatalf("%q, %v; want a 408", said, err)
			}
		}
	})
}

// Ten thousand connections that want nothing, and then more than there may be.
func TestIdleConnections(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 12_000 {
		t.Skipf("this process may have %d files open: %v", limit.Cur, err)
	}
	under(t, manyPlaces, func(p *process) {
		swarm(t, p, 10_500, "")
		eventually(t, "the limit is reached", func() bool {
			return waiting(t, p) > 9_000 && metric(t, p, `cacheproxy_connections_closed_total{reason="reclaimed"}`) != "0"
		})
	})
}

// Headers that are too long are refused, over HTTP/1.1 and however they are packed in HTTP/2.
func TestHeaderBombs(t *testing.T) {
	under(t, manyPlaces, func(p *process) {
		for range 20 {
			if said := sendRaw(t, p.data, "GET / HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("x", 1<<20)); said != "" && !strings.HasPrefix(said, "HTTP/1.1 431 ") {
				t.Errorf("HTTP/1.1: %.60q", said)
			}
		}
		// A field of 4000 bytes in the table, and then 10000 times a byte that names it: 40 MB from 14 kB.
		c := dialHTTP2(t, p)
		block := c.encode(append(requestFields("/"), hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 4000)}))
		block = append(block, bytes.Repeat([]byte{0x80 | 62}, 10_000)...)
		c.headers(1, block)
		if status, err := c.answer(1); err == nil && status != "431" {
			t.Errorf("packed header: status %q", status)
		}
		// A header that never ends (CVE-2023-45288).
		c = dialHTTP2(t, p)
		c.frame(func(f *http2.Framer) error {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode(requestFields("/"))})
		})
		part := bytes.Repeat(c.encode([]hpack.HeaderField{{Name: "a", Value: strings.Repeat("b", 100), Sensitive: true}}), 100)
		for range 100_000 { // as long as the proxy listens
			if c.err == nil {
				c.frame(func(f *http2.Framer) error { return f.WriteContinuation(1, false, part) })
			}
		}
		if !c.refused() {
			t.Error("a header of a gigabyte was read")
		}
	})
}

// Requests that are reset at once, over and over, end their connection and leave nothing behind (CVE-2023-44487).
func TestRapidReset(t *testing.T) {
	under(t, manyPlaces, func(p *process) {
		var attackers sync.WaitGroup
		for range 4 {
			attackers.Go(func() {
				c := dialHTTP2(t, p)
				for id := uint32(1); id < 1_000_000 && c.err == nil; id += 2 { // until the proxy has enough
					c.headers(id, c.encode(requestFields("/reset")))
					c.frame(func(f *http2.Framer) error { return f.WriteRSTStream(id, http2.ErrCodeCancel) })
				}
				if !c.refused() {
					t.Error("half a million resets were taken")
				}
			})
		}
		attackers.Wait()
	})
}

// Frames that only want to be answered, from a client that does not read the answers: PING ends its connection (as in
// CVE-2019-9512), SETTINGS are answered once for all (CVE-2019-9515), and no answer is kept for long.
func TestControlFrameFlood(t *testing.T) {
	for _, c := range []struct {
		name   string
		write  func(*http2.Framer) error
		frames int
		ends   bool
	}{
		{"PING", func(f *http2.Framer) error { return f.WritePing(false, [8]byte{}) }, 2_000_000, true},
		{"SETTINGS", func(f *http2.Framer) error { return f.WriteSettings() }, 200_000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			under(t, manyPlaces, func(p *process) {
				client := dialHTTP2(t, p)
				for n := 0; n < c.frames && client.err == nil; n++ {
					client.frame(c.write)
				}
				if c.ends && !client.refused() {
					t.Errorf("%d frames were taken", c.frames)
				}
			})
		})
	}
}

// frames is an HTTP/2 client that sends what it likes and reads only when told to.
type frames struct {
	net.Conn
	framer *http2.Framer
	packer *hpack.Encoder
	packed bytes.Buffer
	err    error // of the first write that failed
}

func dialHTTP2(t *testing.T, p *process) *frames {
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.data, "http://"))
	if err != nil {
		t.Error(err)
		return &frames{err: err}
	}
	t.Cleanup(func() { conn.Close() })
	c := &frames{Conn: conn, framer: http2.NewFramer(conn, conn)}
	c.packer = hpack.NewEncoder(&c.packed)
	c.err = conn.SetDeadline(time.Now().Add(patience))
	if c.err == nil {
		_, c.err = io.WriteString(conn, http2.ClientPreface)
	}
	c.frame(func(f *http2.Framer) error { return f.WriteSettings() })
	return c
}

// refused reports whether the other end has closed the connection, and has not just stopped reading it.
func (c *frames) refused() bool { return c.err != nil && !errors.Is(c.err, os.ErrDeadlineExceeded) }

func (c *frames) frame(write func(*http2.Framer) error) {
	if c.err == nil {
		c.err = write(c.framer)
	}
}

func (c *frames) headers(id uint32, block []byte) {
	const size = 16 << 10
	first := block[:min(len(block), size)]
	c.frame(func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: true, EndHeaders: len(block) <= size})
	})
	for block = block[len(first):]; len(block) > 0; {
		next := block[:min(len(block), size)]
		block = block[len(next):]
		c.frame(func(f *http2.Framer) error { return f.WriteContinuation(id, len(block) == 0, next) })
	}
}

func requestFields(path string) []hpack.HeaderField {
	return []hpack.HeaderField{
		{Name: ":method", Value: http.MethodGet}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: path},
	}
}

func (c *frames) encode(fields []hpack.HeaderField) []byte {
	c.packed.Reset()
	for _, f := range fields {
		if err := c.packer.WriteField(f); err != nil {
			c.err = err
		}
	}
	return bytes.Clone(c.packed.Bytes())
}

// answer reads up to the status of a stream's answer.
func (c *frames) answer(id uint32) (string, error) {
	if c.err != nil {
		return "", c.err
	}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return "", err
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				return f.PseudoValue("status"), nil
			}
		case *http2.RSTStreamFrame:
			return "", fmt.Errorf("stream reset: %v", f.ErrCode)
		case *http2.GoAwayFrame:
			return "", fmt.Errorf("connection given up: %v", f.ErrCode)
		}
	}
}
