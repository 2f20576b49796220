package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// sizes are the sizes of answers, in bytes, by the first segment of a path: /2048/anything.
var sizes = []int{2 << 10, 64 << 10, 1 << 20}

// etag is the ETag of every object.
const etag = `"1"`

// loop answers every request with a constant. A goroutine for each connection reads and writes and does nothing else.
// loop is the origin, and the least work that a server in Go can do for a request.
type loop struct {
	answers  atomic.Pointer[map[string][]byte] // by the size in decimal digits
	answered atomic.Int64
}

// countPath is the path at which the loop tells how many other requests it has answered.
const countPath = "/count"

var notModified = []byte("HTTP/1.1 304 Not Modified\r\nEtag: " + etag + "\r\nCache-Control: max-age=86400\r\n\r\n")

var notFound = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

// answerHead is the head of all answers of one size. The lifetime is longer than any run.
func answerHead(size int, now time.Time) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\nCache-Control: max-age=86400\r\nEtag: %s\r\n\r\n",
		now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), size, etag)
}

// makeAnswers makes the answers anew with the present Date, since caches derive the age of a new copy from Date.
func (l *loop) makeAnswers() {
	made := map[string][]byte{}
	for _, size := range sizes {
		made[strconv.Itoa(size)] = append([]byte(answerHead(size, time.Now())), bytes.Repeat([]byte("x"), size)...)
	}
	l.answers.Store(&made)
}

// headOf is the head of the answer with a body of size bytes; empty: there is no such answer.
func (l *loop) headOf(size int) []byte {
	answer := (*l.answers.Load())[strconv.Itoa(size)]
	return answer[:max(0, len(answer)-size)]
}

// serve answers on a listener until the listener fails.
func (l *loop) serve(listener net.Listener) error {
	return l.serveBy(listener, func() answering { return l.answer })
}

// answering returns the answer to a head. The answer stays valid until the next call. Each connection has its own.
type answering func(head []byte) []byte

func (l *loop) serveBy(listener net.Listener, newAnswering func() answering) error {
	l.makeAnswers()
	go func() {
		for range time.Tick(time.Second) {
			l.makeAnswers()
		}
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("accept connection: %w", err)
		}
		go func() {
			if err := converse(conn, newAnswering()); err != nil {
				fmt.Fprintln(os.Stderr, "loop:", err)
			}
		}()
	}
}

var (
	endOfHead = []byte("\r\n\r\n")
	condition = []byte("If-None-Match:")
	closing   = []byte("onnection: close") // clients spell the field's first letter in one of two ways
)

func converse(conn net.Conn, answerTo answering) error {
	defer conn.Close()
	buffer, filled := make([]byte, 16<<10), 0
	for {
		n, err := conn.Read(buffer[filled:])
		if err != nil {
			return ignoreLeaving(err)
		}
		filled += n
		rest := buffer[:filled]
		for {
			end := bytes.Index(rest, endOfHead)
			if end < 0 {
				break
			}
			head := rest[:end]
			answer, last := answerTo(head), bytes.Contains(head, closing)
			if last {
				answer = withField(answer, "Connection: close\r\n")
			}
			if _, err := conn.Write(answer); err != nil {
				return ignoreLeaving(err)
			}
			if last {
				return nil
			}
			rest = rest[end+len(endOfHead):]
		}
		if filled = copy(buffer, rest); filled == len(buffer) {
			return errors.New("head longer than the buffer")
		}
	}
}

// withField adds a field behind the first line.
func withField(answer []byte, field string) []byte {
	line, rest, _ := bytes.Cut(answer, []byte("\r\n"))
	return slices.Concat(line, []byte("\r\n"+field), rest)
}

// ignoreLeaving drops the errors of clients that leave, as clients may at any time, and keeps real failures.
func ignoreLeaving(err error) error {
	var network *net.OpError
	if errors.Is(err, io.EOF) || errors.As(err, &network) {
		return nil
	}
	return err
}

func (l *loop) answer(head []byte) []byte {
	_, path, _ := bytes.Cut(head, []byte(" "))
	if bytes.HasPrefix(path, []byte(countPath+" ")) {
		text := strconv.FormatInt(l.answered.Load(), 10)
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
	l.answered.Add(1)
	if bytes.Contains(head, condition) {
		return notModified
	}
	if len(path) > 0 {
		if size, _, ok := bytes.Cut(path[1:], []byte("/")); ok {
			if answer, ok := (*l.answers.Load())[string(size)]; ok {
				return answer
			}
		}
	}
	return notFound
}
