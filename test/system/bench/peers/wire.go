package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// wire is a connection for sending complete heads unchanged.
type wire struct {
	conn   net.Conn
	reader *bufio.Reader
}

func dial(ctx context.Context, address string, secure bool) (*wire, error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	var conn net.Conn
	var err error
	if secure {
		// The certificate is self-signed and made for this run.
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", address)
	} else {
		conn, err = dialer.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	return &wire{conn, bufio.NewReaderSize(conn, 64<<10)}, nil
}

func (w *wire) close() error { return w.conn.Close() }

// get sends a request and reads the answer and its content.
func (w *wire) get(path, head string) (*http.Response, []byte, error) {
	if err := w.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, nil, err
	}
	if _, err := io.WriteString(w.conn, "GET "+path+" HTTP/1.1\r\n"+head); err != nil {
		return nil, nil, err
	}
	response, err := http.ReadResponse(w.reader, nil)
	if err != nil {
		return nil, nil, err
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, err
	}
	return response, content, response.Body.Close()
}

// quickWithin bounds the wait for an answer that only fills a cache. On a busy machine such an answer may be late, and
// a failure would lose everything filled so far.
const quickWithin = 2 * time.Minute

// quick sends a request, drops the answer and returns its status. quick does as little as possible, since it shares a
// core with the origin.
func (w *wire) quick(path, head string) (status int, err error) {
	if err := w.conn.SetDeadline(time.Now().Add(quickWithin)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(w.conn, "GET "+path+" HTTP/1.1\r\n"+head); err != nil {
		return 0, err
	}
	first, err := w.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(first) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("read answer: no status in %q", first)
	}
	if status, err = strconv.Atoi(string(first[9:12])); err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	length := -1
	for {
		line, err := w.reader.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= len("\r\n") {
			break
		}
		if name := len("Content-Length:"); len(line) > name && bytes.EqualFold(line[:name], []byte("Content-Length:")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[name:]))); err != nil {
				return 0, fmt.Errorf("read answer: %w", err)
			}
		}
	}
	if length < 0 {
		return 0, errors.New("read answer: it does not say how long it is")
	}
	_, err = w.reader.Discard(length)
	return status, err
}

// count is the number of requests that a loop has answered.
func count(ctx context.Context, address string) (int, error) {
	w, err := dial(ctx, address, false)
	if err != nil {
		return 0, fmt.Errorf("count requests at the origin: %w", err)
	}
	_, content, err := w.get(countPath, constantHead)
	if err != nil {
		return 0, fmt.Errorf("count requests at the origin: %w", err)
	}
	n, err := strconv.Atoi(string(content))
	if err != nil {
		return 0, fmt.Errorf("count requests at the origin: %w", err)
	}
	return n, w.close()
}

// exchange is one request of many.
type exchange struct{ path, head string }

// send sends requests over a few connections. send fails with the first request that fails or has another status than
// 200.
func send(ctx context.Context, address string, secure bool, each func(yield func(exchange) bool)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan exchange, 256)
	var senders sync.WaitGroup
	var sent atomic.Int64
	for range 16 {
		senders.Go(func() {
			if err := sendSome(ctx, address, secure, work, &sent); err != nil {
				cancel(err)
			}
		})
	}
feed:
	for one := range each {
		select {
		case work <- one:
		case <-ctx.Done():
			break feed
		}
	}
	close(work)
	senders.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("send request %d: %w", sent.Load()+1, err)
	}
	return nil
}

func sendSome(ctx context.Context, address string, secure bool, work <-chan exchange, sent *atomic.Int64) error {
	w, err := dial(ctx, address, secure)
	if err != nil {
		return err
	}
	for one := range work {
		if err := ctx.Err(); err != nil {
			break
		}
		status, err := w.quick(one.path, one.head)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("%s: status %d", one.path, status)
		}
		sent.Add(1)
	}
	return w.close()
}
