package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sync/errgroup"
)

// http2Connections is the number of connections of a load, which divide the load's concurrent requests among them.
const http2Connections = 4

// http2Window is the flow-control window: larger than all answers under way.
const http2Window = 1 << 30

// runHTTP2 sends requests over HTTP/2, which wrk does not speak. Each of a few connections has a constant number of
// busy streams.
func runHTTP2(m material, l load, address string, duration time.Duration) (traffic, error) {
	requests := m.fields()
	var results [http2Connections]traffic
	var senders errgroup.Group
	began := time.Now()
	for i := range results {
		senders.Go(func() (err error) {
			results[i], err = sendOver(address, requests[i*len(requests)/http2Connections:], l.connections/http2Connections, began.Add(duration))
			return err
		})
	}
	if err := senders.Wait(); err != nil {
		return traffic{}, fmt.Errorf("send over HTTP/2: %w", err)
	}
	all := traffic{Microseconds: time.Since(began).Microseconds()}
	for _, one := range results {
		all.Requests, all.Bytes, all.Status = all.Requests+one.Requests, all.Bytes+one.Bytes, all.Status+one.Status
	}
	return all, nil
}

// fields returns each head with a path, as HTTP/2 fields.
func (m material) fields() (requests [][]hpack.HeaderField) {
	for i, head := range m.allHeads {
		fields := []hpack.HeaderField{
			{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: m.allPaths[i%len(m.allPaths)]},
		}
		var others []hpack.HeaderField
		for line := range strings.SplitSeq(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n") {
			name, value, _ := strings.Cut(line, ": ")
			if name == "Host" {
				fields = append(fields, hpack.HeaderField{Name: ":authority", Value: value})
				continue
			}
			others = append(others, hpack.HeaderField{Name: strings.ToLower(name), Value: value})
		}
		requests = append(requests, append(fields, others...))
	}
	return requests
}

// sender is one connection. Only one goroutine uses a sender.
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
	// The certificate is self-signed and made for this run.
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

// ask sends the next request on a new stream.
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
