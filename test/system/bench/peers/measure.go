package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/test/system/bench"
)

// Kinds of heads.
const (
	realistic = "realistic"
	constants = "constant"
)

// run is one measurement: a peer under a load in a round.
type run struct {
	Load    string  `json:"load"`
	Heads   string  `json:"heads"`
	Peer    string  `json:"peer"`
	Round   int     `json:"round"`
	Rate    float64 `json:"requests_per_second"`
	CPU     float64 `json:"cpu_microseconds_per_request"`
	Valkey  float64 `json:"valkey_cpu_microseconds_per_request,omitempty"` // of Valkey's process, apart from CPU
	Origin  float64 `json:"origin_requests_per_request"`
	Answer  string  `json:"answer,omitempty"` // fields of a probe's answer that say where the answer comes from
	Traffic traffic `json:"traffic"`
	Error   string  `json:"error,omitempty"` // why the figures must not be used
}

// session is everything that all loads share.
type session struct {
	options   options
	base      bed // for every load
	script    string
	heads     map[string][]string
	peers     []peer
	progress  io.Writer
	uniqueSet int // number of prefixes of unique paths
}

// uniquePrefix is a new prefix for paths that no request has had.
func (s *session) uniquePrefix() string {
	s.uniqueSet++
	return fmt.Sprintf("/%d/u%d-", 2<<10, s.uniqueSet)
}

// measure measures all peers under one load, in interleaved rounds. Each round has processes of its own. The layout of
// a process's memory, and the seeds of its hashes, make the process slower or faster than another of the same program
// for its whole life.
func (s *session) measure(ctx context.Context, l load) (runs []run, err error) {
	b, stop, err := s.makeBed(ctx, l)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	paths := l.paths()
	materials := map[string]material{}
	for _, kind := range s.kinds(l) {
		if materials[kind], err = writeMaterial(b.dir, l.name+"-"+kind, s.heads[kind], l.fields, paths); err != nil {
			return runs, err
		}
	}
	for round := range s.options.rounds {
		made, err := s.measureRound(ctx, b, round, materials, paths)
		runs = append(runs, made...)
		if err != nil {
			return runs, err
		}
	}
	return runs, nil
}

// measureRound measures each server once with each kind of heads.
func (s *session) measureRound(ctx context.Context, b *bed, round int, materials map[string]material, paths []string) (runs []run, err error) {
	failed := func(peer string, err error) {
		runs = append(runs, run{Load: b.load.name, Heads: s.kinds(b.load)[0], Peer: peer, Round: round + 1, Error: err.Error()})
	}
	there := b.start(ctx, s.ableTo(b.load), failed)
	defer func() { err = errors.Join(err, there.stop()) }()
	if err := s.warmAll(ctx, b, there, s.kinds(b.load), paths, failed); err != nil {
		return runs, err
	}
	for at, kind := range s.kinds(b.load) {
		for _, i := range turn(round, len(there.servers)) {
			server := there.servers[i]
			if at == 0 { // a new process has to grow its memory and make its connections
				if _, err := s.load(ctx, b, server, materials[kind], time.Second); err != nil && ctx.Err() == nil {
					failed(server.name, err)
					continue
				}
			}
			r := s.runOnce(ctx, b, server, kind, materials[kind], paths)
			if ctx.Err() != nil {
				return runs, ctx.Err()
			}
			r.Round = round + 1
			runs = append(runs, r)
		}
	}
	return runs, nil
}

// load sends a load to a server for the duration.
func (s *session) load(ctx context.Context, b *bed, to *server, m material, duration time.Duration) (traffic, error) {
	if b.load.http2 {
		return runHTTP2(m, b.load, to.address, duration)
	}
	return runWrk(ctx, b.cores, s.script, m, b.load, to.address, s.uniquePrefix(), duration)
}

// turn is the order of servers in a round. Each two rounds begin with another server, and every second round is
// reversed, so that no server always follows the same one.
func turn(round, servers int) []int {
	order := make([]int, servers)
	for i := range order {
		order[i] = (i + round/2) % servers
	}
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

// ableTo lists the peers that are measured with a load.
func (s *session) ableTo(l load) (able []peer) {
	for _, p := range s.peers {
		if p.unable(l) == "" {
			able = append(able, p)
		}
	}
	return able
}

func (s *session) kinds(l load) (kinds []string) {
	if s.options.heads != constants {
		kinds = append(kinds, realistic)
	}
	if s.options.heads == constants || s.options.heads == "both" && l.constant {
		kinds = append(kinds, constants)
	}
	return kinds
}

// warmAll warms the servers. A server that fails is reported and stopped.
func (s *session) warmAll(ctx context.Context, b *bed, there *running, kinds, paths []string, failed func(peer string, err error)) error {
	var warm []*server
	var stopping error
	for _, server := range there.servers {
		err := s.warm(ctx, b, server, kinds, paths)
		if err == nil {
			warm = append(warm, server)
			continue
		}
		failed(server.name, fmt.Errorf("warm: %w", err))
		stopping = errors.Join(stopping, server.process.Stop())
	}
	there.servers = warm
	return errors.Join(stopping, ctx.Err())
}

// warm sends the load's requests with each kind of heads, until next to none of them reaches the origin.
func (s *session) warm(ctx context.Context, b *bed, to *server, kinds, paths []string) error {
	if to.limit {
		return nil
	}
	for _, kind := range kinds {
		if err := s.warmKind(ctx, b, to, inTurn(paths, s.heads[kind])); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) warmKind(ctx context.Context, b *bed, to *server, requests iter.Seq[exchange]) error {
	for pass := 0; ; pass++ {
		before, err := count(ctx, b.origin.address)
		if err != nil {
			return err
		}
		sent := 0
		err = send(ctx, to.address, b.load.tls, func(yield func(exchange) bool) {
			for one := range requests {
				if sent++; !yield(one) {
					return
				}
			}
		})
		if err != nil || sent == 0 {
			return err
		}
		after, err := count(ctx, b.origin.address)
		if err != nil || pass > 4 || (after-before)*2000 < sent {
			return err
		}
	}
}

// runOnce measures one server once. An error becomes part of the run.
func (s *session) runOnce(ctx context.Context, b *bed, of *server, kind string, m material, paths []string) run {
	r := run{Load: b.load.name, Heads: kind, Peer: of.name}
	if err := s.runInto(ctx, &r, b, of, m, paths); err != nil {
		r.Error = err.Error()
		fmt.Fprintf(s.progress, "%s, %s: not measured: %v\n", b.load.name, of.name, err)
	}
	return r
}

func (s *session) runInto(ctx context.Context, r *run, b *bed, of *server, m material, paths []string) (err error) {
	if r.Answer, err = s.probe(ctx, b, of, r.Heads, paths); err != nil {
		return err
	}
	reachedBefore, err := b.reached(ctx)
	if err != nil {
		return err
	}
	before, err := b.used(of)
	if err != nil {
		return err
	}
	if r.Traffic, err = s.load(ctx, b, of, m, s.options.time*time.Duration(b.load.longer)); err != nil {
		return err
	}
	after, err := b.used(of)
	if err != nil {
		return err
	}
	reached, err := b.reached(ctx)
	if err != nil {
		return err
	}
	atOrigin, found := reached.origin-reachedBefore.origin, reached.valkey-reachedBefore.valkey
	requests := float64(max(1, r.Traffic.Requests))
	r.Rate = r.Traffic.perSecond()
	r.CPU = float64((after.server - before.server).Microseconds()) / requests
	r.Valkey = float64((after.valkey - before.valkey).Microseconds()) / requests
	r.Origin = float64(atOrigin) / requests
	if err := r.Traffic.failure(); err != nil {
		return err
	}
	if !of.limit && !b.load.origin.fits(r.Traffic.Requests, atOrigin, b.load.connections) {
		return fmt.Errorf("of %d requests %d reached the origin, which is not this load; an answer says: %s",
			r.Traffic.Requests, atOrigin, r.Answer)
	}
	if b.valkey != nil && float64(found) < leastInValkey*requests {
		return fmt.Errorf("of %d requests %d found a copy in Valkey, which is not this load", r.Traffic.Requests, found)
	}
	_, err = s.probe(ctx, b, of, r.Heads, paths)
	return err
}

// reach is the number of requests that the origin has answered, and of keys found in Valkey, since their start.
type reach struct{ origin, valkey int }

func (b *bed) reached(ctx context.Context) (r reach, err error) {
	if r.origin, err = count(ctx, b.origin.address); err != nil {
		return r, err
	}
	r.valkey, err = b.foundInValkey(ctx)
	return r, err
}

// usage is CPU time.
type usage struct{ server, valkey time.Duration }

func (b *bed) used(of *server) (u usage, err error) {
	if u.server, err = bench.CPUOfTree(of.process.PID()); err != nil {
		return u, err
	}
	u.valkey, err = b.cpuOfValkey()
	return u, err
}

// probes is the number of answers checked before and after each run.
const probes = 3

// probe checks answers, and returns the fields of the last answer that say where the answer comes from.
func (s *session) probe(ctx context.Context, b *bed, of *server, kind string, paths []string) (answer string, err error) {
	for i := range probes {
		path := paths[i%len(paths)]
		if path == unique {
			path = s.uniquePrefix()
		}
		w, err := dial(ctx, of.address, b.load.tls)
		if err != nil {
			return "", fmt.Errorf("probe: %w", err)
		}
		heads := s.heads[kind]
		response, content, err := w.get(path, withFields(heads[(i*331)%len(heads)], b.load.fields))
		if err != nil {
			return "", fmt.Errorf("probe: %w", err)
		}
		if err := w.close(); err != nil {
			return "", fmt.Errorf("probe: %w", err)
		}
		if response.StatusCode != b.load.status || response.StatusCode == http.StatusOK && len(content) != b.load.size {
			return "", fmt.Errorf("probe: %s with %d bytes, want status %d with %d", response.Status, len(content), b.load.status, b.load.size)
		}
		if response.StatusCode == http.StatusOK && string(content) != bodies[strconv.Itoa(b.load.size)] {
			return "", fmt.Errorf("probe: %s has other bytes than the origin's answer", path)
		}
		answer = origins(response.Header)
	}
	return answer, nil
}

// origins are the fields that say where an answer comes from.
func origins(h http.Header) string {
	var said []string
	for _, name := range []string{"Cache-Status", "X-Cache", "X-Varnish", "Via", "Age"} {
		if value := h.Get(name); value != "" {
			said = append(said, name+": "+value)
		}
	}
	return strings.Join(said, "; ")
}
