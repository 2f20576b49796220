package e2e

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	memorySize   = 48 << 20 // of the configuration
	floodClients = 4
	hotURLs      = 500
	// floodBound is what the whole process may take, code and buffers included.
	floodBound = memorySize*2 + 32<<20
)

var floodURLs = flag.Int("flood-urls", 90_000, "URLs that TestMemoryIsBounded asks for once each; several times what fits")

// A flood of URLs that are asked for once neither grows the process nor drives out what is read all the time.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 15 s")
	}
	p := serveConfig(t, fmt.Sprintf(`
drain_delay: 0s
log: {hits: 0%%, others: 0%%}
memory: {size: 48MiB}
upstreams: [{name: origin, url: "%s"}]
routes: [{name: all, match: /, policy: cache-aside, ttl: 1h}]
`, constantOrigin(t)))
	var resident [3]int
	for i := range resident {
		flood(t, p, i**floodURLs/len(resident), (i+1)**floodURLs/len(resident))
		resident[i] = p.memory(t, "VmRSS")
	}
	hits := readHot(t, p)
	t.Logf("resident after each third: %d, %d, %d MiB of %d; at most %d; entries %s, evictions %s; %d of %d hot reads hit",
		resident[0]>>20, resident[1]>>20, resident[2]>>20, memorySize>>20, p.memory(t, "VmHWM")>>20,
		metric(t, p, `cacheproxy_store_entries{tier="memory"}`), metric(t, p, `cacheproxy_evictions_total{tier="memory"}`), hits, hotURLs)
	if growth := float64(resident[2]) / float64(resident[1]); growth > 1.15 {
		t.Errorf("the last third grew the process by a factor of %.2f", growth)
	}
	if peak := p.memory(t, "VmHWM"); peak > floodBound {
		t.Errorf("the process took %d MiB, want at most %d", peak>>20, floodBound>>20)
	}
	if hits < hotURLs*95/100 {
		t.Errorf("%d of %d hot reads hit", hits, hotURLs)
	}
}

// flood asks once for each URL of a range, from several connections, and now and then for a hot one.
func flood(t testing.TB, p *process, from, to int) {
	t.Helper()
	var next atomic.Int64
	next.Store(int64(from))
	var clients sync.WaitGroup
	for range floodClients {
		clients.Go(func() {
			c, err := dial(p)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for n := next.Add(1) - 1; n < int64(to); n = next.Add(1) - 1 {
				if err := c.ask("/cold/" + strconv.FormatInt(n, 10)); err != nil {
					t.Error(err)
					return
				}
				if n%5 == 0 {
					if err := c.ask("/hot/" + strconv.Itoa(rand.IntN(hotURLs))); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// readHot reads the hot set once and counts the hits.
func readHot(t testing.TB, p *process) (hits int) {
	t.Helper()
	keepAlive := &http.Transport{}
	defer keepAlive.CloseIdleConnections()
	for i := range hotURLs {
		res, err := (&http.Client{Transport: keepAlive, Timeout: patience}).Get(p.data + "/hot/" + strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if strings.HasPrefix(res.Header.Get("Cache-Status"), "cacheproxy; hit") {
			hits++
		}
	}
	return hits
}

// connection asks over one socket without what net/http's client costs, which would be most of the test.
type connection struct {
	net.Conn
	host string
	r    *bufio.Reader
}

func dial(p *process) (*connection, error) {
	host := strings.TrimPrefix(p.data, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return nil, err
	}
	return &connection{conn, host, bufio.NewReaderSize(conn, 8<<10)}, nil
}

// ask makes one request and reads its answer, which must be a 200 with a length.
func (c *connection) ask(path string) error {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: "+c.host+"\r\n\r\n"); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !strings.HasPrefix(string(line), "HTTP/1.1 200 ") {
			return fmt.Errorf("ask for %s: %q", path, line)
		}
		if len(line) == 2 {
			break
		}
		if value, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	if length != floodBody {
		return fmt.Errorf("ask for %s: length %d", path, length)
	}
	_, err := c.r.Discard(length)
	return err
}

// floodBody is the size of each answer of the flood's origin: that of a small JSON document.
const floodBody = 1 << 10

// constantOrigin gives the same answer to every request, at little cost.
func constantOrigin(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(floodBody) + "\r\n\r\n" + strings.Repeat("x", floodBody))
	var open sync.Map
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(conn, nil)
			serving.Go(func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); ; {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) > 2 {
						continue
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Range(func(conn, _ any) bool {
			conn.(net.Conn).Close()
			return true
		})
		serving.Wait()
	})
	return "http://" + l.Addr().String()
}
