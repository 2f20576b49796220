// Command peers measures the proxy beside other caching proxies on this machine: the installed ones of nginx, Varnish,
// HAProxy and Traffic Server. Limits show what is possible at all: a loop on sockets, net/http answering a constant,
// httputil.ReverseProxy, and for copies in Valkey the loop with one GET for each answer. All servers get the same
// requests, from wrk, in interleaved rounds. The server under test has one core, wrk and the origin have the others.
//
//	go run -C test/system ./bench/peers
//	go run -C test/system ./bench/peers --loads hit,miss --baseline /tmp/before/cacheproxy
//
// Each measurement is checked. A wrong answer, and requests at the origin that should not get there, are errors instead
// of figures.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"cacheproxy/test/system/bench"
)

func main() {
	if done, err := subcommand(os.Args[1:]); done {
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	bench.Main("bench", runBench)
}

// subcommand runs this program as one of the limit servers, each a process of its own.
func subcommand(args []string) (done bool, err error) {
	if len(args) == 0 || args[0] != limitCommand {
		return false, nil
	}
	return true, serveLimit(args[1:])
}

// allPeers are all servers, in the order of the report.
func allPeers() []peer {
	return []peer{
		cacheproxy(ours, func(b *bed) string { return b.binary }),
		cacheproxy(baseline, func(b *bed) string { return b.baseline }),
		nginx(), haproxy(), varnish(), trafficServer(),
		limit(bareLoop, func(l load) bool { return !l.tls && answeredByConstant(l) }),
		limit(plainHTTP, answeredByConstant),
		limit(reverseProxy, func(l load) bool { return l.origin != hits }),
		bareGetPeer(),
	}
}

// answeredByConstant reports whether a constant is a limit of a load. The number of objects makes no difference to a
// constant.
func answeredByConstant(l load) bool { return !l.valkey && l.origin == hits && !l.many }

// Names of peers that the report knows.
const (
	ours     = "cacheproxy"
	baseline = "baseline"
)

func runBench(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	if o.from != "" {
		r, err := readReport(o.from)
		if err != nil {
			return err
		}
		return errors.Join(r.printAll(os.Stdout), r.finish(o))
	}
	if err := o.checkNames(allLoads(), allPeers()); err != nil {
		return err
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		return errNoWrk
	}
	return bench.InFolder("bench-peers", func(dir string) error { return measureIn(ctx, o, dir) })
}

func measureIn(ctx context.Context, o options, dir string) error {
	s, r, err := prepare(ctx, o, dir)
	if err != nil {
		return err
	}
	if err := r.printSetting(os.Stdout); err != nil {
		return err
	}
	for _, l := range allLoads() {
		if !o.wants(l.name) {
			continue
		}
		// An interrupted run keeps its measurements, also those of the interrupted row.
		runs, err := s.measure(ctx, l)
		if len(runs) > 0 {
			r.add(l, runs)
			err = errors.Join(err, r.printRow(os.Stdout, r.Rows[len(r.Rows)-1]), r.write(o))
		}
		if err != nil {
			return err
		}
	}
	if err := s.measureOthers(ctx, r); err != nil {
		return err
	}
	return r.finish(o)
}

// measureOthers makes the measurements that are no rows of the table.
func (s *session) measureOthers(ctx context.Context, r *report) error {
	for _, l := range latencyLoads() {
		if !s.options.wants(latencyName) {
			break
		}
		w, err := s.measureLatency(ctx, l)
		if err != nil {
			return err
		}
		r.Latency = append(r.Latency, w)
		if err := w.print(os.Stdout); err != nil {
			return err
		}
	}
	if s.options.wants(churnName) {
		for _, p := range s.cachesOf() {
			fmt.Fprintf(s.progress, "%s: %s\n", churnName, p.name)
			r.Churn = append(r.Churn, s.measureChurn(ctx, p))
		}
	}
	if s.options.wants(memoryName) {
		for _, p := range s.cachesOf(memoryPeers...) {
			fmt.Fprintf(s.progress, "%s: %s\n", memoryName, p.name)
			r.Memory = append(r.Memory, s.measureMemory(ctx, p))
		}
	}
	return errors.Join(ctx.Err(), printChurn(os.Stdout, r.Churn), printMemory(os.Stdout, r.Memory))
}

// prepare builds the missing binaries and determines the peers that can be measured.
func prepare(ctx context.Context, o options, dir string) (*session, *report, error) {
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil { // for Debian
		return nil, nil, fmt.Errorf("find peers: %w", err)
	}
	s := &session{
		options: o, progress: os.Stderr, script: filepath.Join(dir, "wrk.lua"),
		heads: map[string][]string{realistic: makeHeads(realisticHeads, 1), constants: {constantHead}},
		base:  bed{cores: coresHere(), dir: dir, baseline: o.baseline},
	}
	var err error
	if s.base.binary, err = o.binary(ctx, dir); err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(s.script, wrkScript, 0o600); err != nil {
		return nil, nil, fmt.Errorf("write script of wrk: %w", err)
	}
	if s.base.cert, s.base.key, err = makeCertificate(dir); err != nil {
		return nil, nil, err
	}
	if err := s.base.cores.moveHere(ctx); err != nil {
		return nil, nil, err
	}
	r := newReport(o, s.base.cores)
	for _, p := range allPeers() {
		if !named(o.peers, p.name) || p.name == baseline && o.baseline == "" {
			continue
		}
		if p.program != "" {
			if _, err := exec.LookPath(p.program); err != nil {
				r.NotMeasured = append(r.NotMeasured, fmt.Sprintf("%s: %s is not installed; %s installs it", p.name, p.program, installPeers))
				continue
			}
		}
		s.peers = append(s.peers, p)
		r.Versions[p.name] = versionOf(ctx, p)
	}
	if len(s.peers) == 0 {
		return nil, nil, errors.New("none of the peers that were asked for is installed")
	}
	return s, r, nil
}
