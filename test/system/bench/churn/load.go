package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// meanSize is about the mean size of the bodies, in bytes.
const meanSize = 2300

// newOrigin answers each URL with a body of a size that follows from the URL: a median of a kilobyte, and more than
// eight kilobytes for one URL in twenty.
func newOrigin() *httptest.Server {
	body := make([]byte, 60_000)
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var seed uint64
		for _, b := range []byte(r.URL.Path) {
			seed = seed*31 + uint64(b)
		}
		size := math.Exp(7 + 1.2*rand.New(rand.NewPCG(seed, 1)).NormFloat64())
		w.Header().Set("Etag", `"`+strconv.FormatUint(seed, 16)+`"`)
		_, _ = w.Write(body[:min(len(body), 100+int(size))]) // the proxy may have closed the connection
	}))
}

// load is the load on the proxy.
type load struct {
	address string
	next    atomic.Int64 // number of the last new URL
}

// run requests fill new URLs as fast as possible, and then new and hot URLs at a rate. run returns the number of
// answers to new URLs, and the latencies of hits, of the second part.
func (l *load) run(ctx context.Context, fill int, o options) (fresh int, hits []time.Duration, err error) {
	group, filling := errgroup.WithContext(ctx)
	for range connections {
		group.Go(func() error {
			return l.each(filling, func(c *client) (bool, error) {
				n := l.next.Add(1)
				return n <= int64(fill), c.get(l.fresh(n))
			})
		})
	}
	if err := group.Wait(); err != nil {
		return 0, nil, err
	}
	var mu sync.Mutex
	until := time.Now().Add(o.lasts)
	pause := connections * time.Second / time.Duration(o.rate)
	group, paced := errgroup.WithContext(ctx)
	for range connections {
		group.Go(func() error {
			at := time.Now().Add(rand.N(pause))
			return l.each(paced, func(c *client) (bool, error) {
				time.Sleep(time.Until(at))
				at = at.Add(pause)
				err := c.get(l.fresh(l.next.Add(1)))
				mu.Lock()
				defer mu.Unlock()
				fresh++
				return time.Now().Before(until), err
			})
		})
		group.Go(func() error {
			at := time.Now().Add(rand.N(pause))
			return l.each(paced, func(c *client) (bool, error) {
				time.Sleep(time.Until(at))
				sent := at // includes the wait for the connection
				at = at.Add(pause)
				err := c.get(fmt.Sprint("/hot/", rand.IntN(hot)))
				mu.Lock()
				defer mu.Unlock()
				hits = append(hits, time.Since(sent))
				return time.Now().Before(until), err
			})
		})
	}
	err = group.Wait()
	slices.Sort(hits)
	return fresh, hits, err
}

func (*load) fresh(n int64) string { return fmt.Sprintf("/v2/shops/%d/products/%d", n%1000, n) }

// each calls do on one connection until do reports false.
func (l *load) each(ctx context.Context, do func(*client) (bool, error)) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("connect to the proxy: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends reads and writes
	defer stop()
	c := &client{conn, bufio.NewReader(conn)}
	for more := true; more; {
		if more, err = do(c); err != nil {
			return err
		}
	}
	return nil
}

type client struct {
	net.Conn
	answers *bufio.Reader
}

func (c *client) get(path string) error {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: shop.example\r\n\r\n"); err != nil {
		return fmt.Errorf("ask for %s: %w", path, err)
	}
	response, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("read answer: %s: %w", response.Status, err)
	}
	return nil
}
