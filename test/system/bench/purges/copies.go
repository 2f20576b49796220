package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cacheproxy/test/system/bench"
)

// sample is the number of timed purges, and of copies that are checked.
const sample = 2000

// among is the cost of purges beside a number of copies.
type among struct {
	copies   int
	resident int64
	took     []time.Duration // sorted
	cpu      time.Duration   // of the proxy, for one purge
}

// measureCopies measures purges at one instance with many copies.
func measureCopies(ctx context.Context, o options, binary, dir string, out *bench.Report) (err error) {
	s, err := begin(ctx, o, binary, dir, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	var rows []among
	made := 0
	for _, copies := range []int{o.few, o.copies} {
		if _, err := s.read(ctx, made, copies); err != nil {
			return err
		}
		made = copies
		row, err := s.purgeSome(ctx, copies)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	fmt.Fprintf(out, "Purges of one tag, one after the other, beside copies with %d tags each:\n", o.names)
	t := bench.NewTable(out, rows)
	t.Line("copies", func(r among) string { return fmt.Sprint(r.copies) })
	t.Line("resident, MiB", func(r among) string { return fmt.Sprint(r.resident >> 20) })
	t.Line("p50", func(r among) string { return bench.Milliseconds(bench.Percentile(r.took, 50)) })
	t.Line("p99", func(r among) string { return bench.Milliseconds(bench.Percentile(r.took, 99)) })
	t.Line("µs of the proxy's CPU for one", func(r among) string { return fmt.Sprint(r.cpu.Microseconds()) })
	if err := t.Close(); err != nil {
		return err
	}
	if err := s.wideHits(ctx, o, out); err != nil {
		return err
	}
	return s.purgeMany(ctx, o, out)
}

// purgeSome purges a sample, each purge a tag of another copy, and checks that all of these copies are gone.
func (s *scene) purgeSome(ctx context.Context, copies int) (r among, err error) {
	r.copies = copies
	if r.resident, err = bench.ResidentMemoryOfTree(s.proxy.Process.PID()); err != nil {
		return r, err
	}
	before, err := bench.CPUOfTree(s.proxy.Process.PID())
	if err != nil {
		return r, err
	}
	first := copies - sample
	for i := range sample {
		took, err := s.purge(ctx, tag(fmt.Sprint(first+i), 0))
		if err != nil {
			return r, err
		}
		r.took = append(r.took, took)
	}
	after, err := bench.CPUOfTree(s.proxy.Process.PID())
	if err != nil {
		return r, err
	}
	r.cpu = (after - before) / sample
	slices.Sort(r.took)
	hits, err := s.read(ctx, first, copies)
	if err == nil && hits > 0 {
		err = fmt.Errorf("%d of %d copies are there that were purged", hits, sample)
	}
	return r, err
}

// steps is the number of times that purgeMany checks copies.
const steps = 6

// purgeMany purges names that no copy has, and checks a sample of the copies each time.
func (s *scene) purgeMany(ctx context.Context, o options, out *bench.Report) error {
	const perCall = 1000
	fmt.Fprintf(out, "\nNames purged that no copy has, marks that the instance keeps, and copies of %d that are still used:\n", sample)
	for step := range steps + 1 {
		from, to := o.purged*max(step-1, 0)/steps, o.purged*step/steps
		for at := from; at < to; at += perCall {
			var names []string
			for n := at; n < min(at+perCall, to); n++ {
				names = append(names, tag("nobody", n))
			}
			if _, err := s.purge(ctx, names...); err != nil {
				return err
			}
		}
		marks, err := s.proxy.Gauge(ctx, "cacheproxy_ledger_members")
		if err != nil {
			return err
		}
		first := o.few + step*sample // others each time: a checked copy stays usable for longer
		hits, err := s.read(ctx, first, first+sample)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%9d purged  %8.0f marks  %5d used\n", to, marks, hits)
	}
	return nil
}

// wideHits reads copies with many tags, without purges and with purges of other names. One copy has tags that clients
// do not get, another has its tags in the head of each answer. A third copy has no tags, for comparison.
func (s *scene) wideHits(ctx context.Context, o options, out *bench.Report) error {
	if err := s.quiet(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nHits of one copy, 64 at a time, for 5 s:\n")
	for _, path := range []string{plain, wideHidden, wideShown} {
		for _, rate := range []int{0, o.rate} {
			during, end := context.WithCancel(ctx)
			purged, done := 0, make(chan error, 1)
			go func() {
				var err error
				for at := time.Now(); rate > 0 && err == nil && during.Err() == nil; at = at.Add(time.Second / time.Duration(rate)) {
					select {
					case <-time.After(time.Until(at)):
					case <-during.Done():
						continue
					}
					if _, err = s.purge(ctx, tag("other", purged)); err == nil {
						purged++
					}
				}
				done <- err
			}()
			hits, missed, took, err := s.hits(ctx, path, 5*time.Second)
			end()
			if err = errors.Join(err, <-done); err != nil {
				return err
			}
			fmt.Fprintf(out, "%-40s %6d purges  %8d hits  %d misses  %.1f µs of the proxy's CPU for a hit, purges included\n", s.what(path, o), purged, hits, missed,
				float64(took.Nanoseconds())/1000/float64(max(hits, 1)))
		}
	}
	return nil
}

// what describes the copy at a path.
func (*scene) what(path string, o options) string {
	switch path {
	case wideHidden:
		return fmt.Sprintf("%d tags, which clients do not get", o.wide)
	case wideShown:
		return fmt.Sprintf("%d tags, which clients get", o.wide)
	}
	return "without tags"
}

// quiet waits until the proxy has finished earlier work.
func (s *scene) quiet(ctx context.Context) error {
	for range 60 {
		before, err := bench.CPUOfTree(s.proxy.Process.PID())
		if err != nil {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		after, err := bench.CPUOfTree(s.proxy.Process.PID())
		if err != nil || after-before < 20*time.Millisecond {
			return err
		}
	}
	return errors.New("the proxy is busy for a minute, though nothing is asked of it")
}

// hits requests the copy at a path for the given time.
func (s *scene) hits(ctx context.Context, path string, lasts time.Duration) (hits, missed int, cpu time.Duration, err error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	defer conn.Close()
	const depth = 64
	request := "GET " + path + " HTTP/1.1\r\nHost: shop.example\r\n\r\n"
	requests, answers := []byte(strings.Repeat(request, depth)), bufio.NewReaderSize(conn, 64<<10)
	before := time.Duration(0)
	for start, warm := time.Now(), false; time.Since(start) < lasts; {
		if _, err := conn.Write(requests); err != nil {
			return 0, 0, 0, fmt.Errorf("ask for the list: %w", err)
		}
		for range depth {
			hit, err := readAnswer(answers)
			switch {
			case err != nil:
				return 0, 0, 0, err
			case !warm:
			case hit:
				hits++
			default:
				missed++
			}
		}
		if !warm { // the first requests have fetched the copy
			warm, start = true, time.Now()
			if before, err = bench.CPUOfTree(s.proxy.Process.PID()); err != nil {
				return 0, 0, 0, err
			}
		}
	}
	after, err := bench.CPUOfTree(s.proxy.Process.PID())
	return hits, missed, after - before, err
}
