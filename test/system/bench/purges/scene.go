package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"cacheproxy/test/servers"
)

// configuration has a route for copies with some names, and a route for the copies with many.
const configuration = `drain_delay: 0s
memory: {size: 8GiB, max_object: 1MiB}
log: {hits: 0%%, others: 0%%, level: warn}
upstreams:
  - {name: origin, url: "%s"}
routes:
  - {name: product, match: "GET /products/{id}", policy: cache-aside, ttl: 12h}
  - {name: list, match: "GET /list/{kind}", policy: cache-aside, ttl: 12h}
`

// Paths of the copies with many tags, and of a copy without tags.
const (
	plain      = "/list/plain"
	wideHidden = "/list/hidden"
	wideShown  = "/list/shown"
)

// scene is a proxy before an origin that sends tags.
type scene struct {
	origin *httptest.Server
	proxy  *servers.Cacheproxy
}

func begin(ctx context.Context, o options, binary, dir, more string) (_ *scene, err error) {
	s := &scene{origin: httptest.NewServer(origin(o))}
	defer func() {
		if err != nil {
			s.origin.Close()
		}
	}()
	where := filepath.Join(dir, "proxy")
	if err := os.MkdirAll(where, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	s.proxy, err = servers.StartCacheproxy(ctx, binary, where, fmt.Sprintf(configuration, s.origin.URL)+more)
	return s, err
}

func (s *scene) end() error {
	defer s.origin.Close()
	return s.proxy.Process.Stop()
}

// origin answers with 200 bytes, and with the tags that the copy is to have.
func origin(o options) http.Handler {
	body := bytes.Repeat([]byte("0123456789"), 20)
	wide := tags("list", o.wide)
	spaced := strings.ReplaceAll(wide, ",", " ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, ok := strings.CutPrefix(r.URL.Path, "/products/"); ok {
			w.Header().Set("Cache-Tag", tags(id, o.names))
		}
		switch r.URL.Path {
		case wideHidden:
			w.Header().Set("Surrogate-Key", spaced) // clients do not get this field
		case wideShown:
			w.Header().Set("Cache-Tag", wide) // clients get this field
		}
		_, _ = w.Write(body) // the proxy may have closed the connection
	})
}

func tags(of string, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = tag(of, i)
	}
	return strings.Join(all, ",")
}

func tag(of string, i int) string { return of + "-" + strconv.Itoa(i) }

// read requests the products from first up to last, each once, and returns the number of answers from copies.
func (s *scene) read(ctx context.Context, first, last int) (hits int, err error) {
	const connections, depth = 16, 32 // depth: requests under way on each connection
	var found [connections]int
	group, ctx := errgroup.WithContext(ctx)
	for c := range connections {
		group.Go(func() error {
			conn, err := s.dial(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			answers := bufio.NewReader(conn)
			for next := first + c; next < last; {
				var requests bytes.Buffer
				asked := 0
				for ; asked < depth && next < last; next += connections {
					fmt.Fprintf(&requests, "GET /products/%d HTTP/1.1\r\nHost: shop.example\r\n\r\n", next)
					asked++
				}
				if _, err := conn.Write(requests.Bytes()); err != nil {
					return fmt.Errorf("ask for products: %w", err)
				}
				for range asked {
					hit, err := readAnswer(answers)
					if err != nil {
						return err
					}
					if hit {
						found[c]++
					}
				}
			}
			return nil
		})
	}
	err = group.Wait()
	for _, n := range found {
		hits += n
	}
	return hits, err
}

func (s *scene) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(s.proxy.URL, "http://"))
	if err != nil {
		return nil, fmt.Errorf("connect to the proxy: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends reads and writes
	return conn, nil
}

func readAnswer(from *bufio.Reader) (hit bool, err error) {
	response, err := http.ReadResponse(from, nil)
	if err != nil {
		return false, fmt.Errorf("read answer: %w", err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return false, fmt.Errorf("read answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("read answer: %s", response.Status)
	}
	return strings.HasPrefix(response.Header.Get("Cache-Status"), "cacheproxy; hit"), nil
}

// purge purges tags in one call, and returns the duration of the call.
func (s *scene) purge(ctx context.Context, tags ...string) (time.Duration, error) {
	body, err := json.Marshal(map[string][]string{"tags": tags})
	if err != nil {
		return 0, fmt.Errorf("write purge: %w", err)
	}
	start := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.proxy.Admin+"/purge", bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("make purge: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	text, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("purge: %s: %s", response.Status, text)
	}
	return time.Since(start), nil
}
