package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2Command is the word after which this program sends requests over HTTP/2, which wrk does not know.
const http2Command = "send-http2"

// http2Connections is over how many connections a load's requests go; all of these are under way at once.
const http2Connections = 4

// http2Window is what answers may be under way: more than there is.
const http2Window = 1 << 30

func runHTTP2(ctx context.Context, c cores, m material, l load, address string, duration time.Duration) (traffic, error) {
	self, err := os.Executable()
	if err != nil {
		return traffic{}, fmt.Errorf("find own binary: %w", err)
	}
	command := pinned(c.Load, self, http2Command, "--address", address, "--heads", m.heads, "--paths", m.paths,
		"--time", duration.String(), "--streams", fmt.Sprint(l.connections/http2Connections))
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return traffic{}, fmt.Errorf("send over HTTP/2: %w: %s", err, out)
	}
	return parseTraffic(out)
}

// sendHTTP2 keeps a number of streams busy on each of a few connections, and prints what came of it as wrk's script does.
func sendHTTP2(args []string) error {
	flags := flag.NewFlagSet(http2Command, flag.ContinueOnError)
	address, heads, paths := flags.String("address", "", ""), flags.String("heads", "", ""), flags.String("paths", "", "")
	duration, streams := flags.Duration("time", time.Second, ""), flags.Int("streams", 1, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	requests, err := readRequests(*heads, *paths)
	if err != nil {
		return err
	}
	var all traffic
	var mu sync.Mutex // guards all and failed
	var failed error
	var senders sync.WaitGroup
	began := time.Now()
	for i := range http2Connections {
		senders.Go(func() {
			one, err := sendOver(*address, requests[i*len(requests)/http2Connections:], *streams, began.Add(*duration))
			mu.Lock()
			defer mu.Unlock()
			all.Requests, all.Bytes, all.Status = all.Requests+one.Requests, all.Bytes+one.Bytes, all.Status+one.Status
			failed = errors.Join(failed, err)
		})
	}
	senders.Wait()
	if failed != nil {
		return failed
	}
	all.Microseconds = time.Since(began).Microseconds()
	line, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	fmt.Printf("wrk %s\n", line)
	return nil
}

// readRequests gives each head with a path, as HTTP/2 fields.
func readRequests(headsFile, pathsFile string) ([][]hpack.HeaderField, error) {
	heads, err := os.ReadFile(headsFile)
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	text, err := os.ReadFile(pathsFile)
	if err != nil {
		return nil, fmt.Errorf("read paths: %w", err)
	}
	paths := strings.Fields(string(text))
	var requests [][]hpack.HeaderField
	for head := range strings.SplitSeq(strings.TrimSuffix(string(heads), "\r\n\r\n"), "\r\n\r\n") {
		fields := []hpack.HeaderField{
			{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: paths[len(requests)%len(paths)]},
		}
		var others []hpack.HeaderField
		for line := range strings.SplitSeq(head, "\r\n") {
			name, value, _ := strings.Cut(line, ": ")
			if name == "Host" {
				fields = append(fields, hpack.HeaderField{Name: ":authority", Value: value})
				continue
			}
			others = append(others, hpack.HeaderField{Name: strings.ToLower(name), Value: value})
		}
		requests = append(requests, append(fields, others...))
	}
	return requests, nil
}

// sender is one connection. Its fields are of one goroutine.
type sender struct {
	framer   *http2.Framer
	encoder  *hpack.Encoder
	block    bytes.Buffer
	requests [][]hpack.HeaderField
	next     int
	stream   uint32
	counted  traffic
}

func sendOver(address string, requests [][]hpack.HeaderField, streams int, until time.Time) (traffic, error) {
	// The certificate was made for this run, by nobody that is known.
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http2.NextProtoTLS}}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, config)
	if err != nil {
		return traffic{}, fmt.Errorf("connect: %w", err)
	}
	s := &sender{framer: http2.NewFramer(conn, conn), requests: requests, stream: 1}
	s.encoder = hpack.NewEncoder(&s.block)
	err = s.converse(conn, streams, until)
	return s.counted, errors.Join(err, conn.Close())
}

func (s *sender) converse(conn net.Conn, streams int, until time.Time) error {
	if err := conn.SetDeadline(until.Add(10 * time.Second)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return fmt.Errorf("send preface: %w", err)
	}
	if err := s.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: http2Window}, http2.Setting{ID: http2.SettingEnablePush}); err != nil {
		return fmt.Errorf("send settings: %w", err)
	}
	if err := s.framer.WriteWindowUpdate(0, http2Window); err != nil {
		return fmt.Errorf("send window: %w", err)
	}
	for range streams {
		if err := s.ask(); err != nil {
			return err
		}
	}
	unannounced := uint32(0)
	for time.Now().Before(until) {
		frame, err := s.framer.ReadFrame()
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		ended := false
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = s.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			err = s.framer.WritePing(true, f.Data)
		case *http2.GoAwayFrame:
			return fmt.Errorf("read answer: the server goes away: %v", f.ErrCode)
		case *http2.RSTStreamFrame:
			s.counted.Status++
			ended = true
		case *http2.HeadersFrame:
			ended = f.StreamEnded()
		case *http2.DataFrame:
			s.counted.Bytes += int64(f.Length)
			unannounced += f.Length
			ended = f.StreamEnded()
		}
		if err == nil && ended {
			s.counted.Requests++
			err = s.ask()
		}
		if err == nil && unannounced > http2Window/4 {
			err = s.framer.WriteWindowUpdate(0, unannounced)
			unannounced = 0
		}
		if err != nil {
			return fmt.Errorf("send request: %w", err)
		}
	}
	return nil
}

// ask sends the next request on a stream of its own.
func (s *sender) ask() error {
	s.block.Reset()
	for _, field := range s.requests[s.next%len(s.requests)] {
		if err := s.encoder.WriteField(field); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	s.next++
	err := s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.stream, BlockFragment: s.block.Bytes(), EndStream: true, EndHeaders: true})
	s.stream += 2
	return err
}
