package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"cacheproxy/test/servers"
)

// usualMemory is the memory for copies of every cache, in bytes, unless the measurement is about memory.
const usualMemory = 1 << 30

// peer is a server that can be measured.
type peer struct {
	name    string
	program string // program that has to be installed; empty: none
	limit   bool   // the peer does not cache and shows what is possible at all
	start   func(ctx context.Context, b *bed, dir string) (*server, error)
	unable  func(load) string // why a load is not measured; empty: the load is measured
	version []string          // a command that prints the version
}

// server is a running peer.
type server struct {
	name    string
	limit   bool
	process *servers.Process
	address string
}

// bed is everything that peers need to start, for one load.
type bed struct {
	cores            cores
	dir              string
	load             load
	memory           int64
	origin           *server
	cert, key        string
	valkey           *servers.ValkeyServer
	binary, baseline string
}

// running are the servers in the order of their peers.
type running struct{ servers []*server }

// start starts the peers, each in a folder of its own. A peer that does not start is reported to failed and left out.
func (b *bed) start(ctx context.Context, peers []peer, failed func(peer string, err error)) *running {
	r := &running{}
	for _, p := range peers {
		s, err := b.startOne(ctx, p)
		if err != nil {
			failed(p.name, err)
			continue
		}
		r.servers = append(r.servers, s)
	}
	return r
}

func (b *bed) startOne(ctx context.Context, p peer) (*server, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp(b.dir, "peer-")
	if err != nil {
		return nil, fmt.Errorf("make folder of %s: %w", p.name, err)
	}
	s, err := p.start(ctx, b, dir)
	if err != nil {
		return nil, err
	}
	s.name, s.limit = p.name, p.limit
	if err := s.awaitAnswers(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w; its last output:\n%s", p.name, err, s.process.Output()), s.process.Stop())
	}
	return s, nil
}

func (r *running) stop() error {
	var failed error
	for _, s := range r.servers {
		failed = errors.Join(failed, s.process.Stop())
	}
	return failed
}

// awaitAnswers returns when the server accepts connections.
func (s *server) awaitAnswers(ctx context.Context) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-again.C:
		case <-s.process.Done():
			return errors.New("it ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// startFrom writes a configuration and starts a program with it, on the core for servers under test.
func (b *bed) startFrom(ctx context.Context, dir, file, configuration string, port int, command ...string) (*server, error) {
	if err := os.WriteFile(filepath.Join(dir, file), []byte(configuration), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration of %s: %w", command[0], err)
	}
	command = pinned(b.cores.Server, command...)
	process, err := servers.StartProcess(ctx, servers.Command{Path: command[0], Args: command[1:], Dir: dir})
	if err != nil {
		return nil, err
	}
	return &server{process: process, address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}, nil
}

// makeBed starts everything that the peers need for a load. The returned func stops all of it.
func (s *session) makeBed(ctx context.Context, l load) (_ *bed, stop func() error, err error) {
	b := s.base
	b.load = l
	if b.memory == 0 {
		b.memory = usualMemory
	}
	if b.dir, err = os.MkdirTemp(s.base.dir, l.name+"-"); err != nil {
		return nil, nil, fmt.Errorf("make folder of a load: %w", err)
	}
	if b.origin, err = startLimit(ctx, bareLoop, b.cores.Load); err != nil {
		return nil, nil, err
	}
	if !l.valkey {
		return &b, b.origin.process.Stop, nil
	}
	if b.valkey, err = servers.StartValkey(ctx, b.dir, servers.ValkeyOptions{}); err != nil {
		return nil, nil, errors.Join(err, b.origin.process.Stop())
	}
	return &b, func() error { return errors.Join(b.valkey.Stop(), b.origin.process.Stop()) }, nil
}
