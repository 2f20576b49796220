package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"cacheproxy/test/system/bench"
)

// roomPerObject is the memory for an object of 2 KiB in the measurement of memory: more than any peer needs.
const roomPerObject = 8 << 10

// tellEvery is the number of objects between two reports of progress.
const tellEvery = 100_000

// Churn: the memory for copies, how many times it is filled beforehand, and the rate of requests for one object that
// stays in use.
const (
	churnMemory = 32 << 20
	churnTimes  = 2
	churnHits   = 500
)

// memoryRow is the memory of a peer for many objects.
type memoryRow struct {
	Peer    string  `json:"peer"`
	Wanted  int     `json:"objects_wanted"`
	Objects int     `json:"objects"` // fewer where the time for filling ran out
	Seconds float64 `json:"seconds_of_filling"`
	Empty   int64   `json:"resident_bytes_when_empty"`
	Full    int64   `json:"resident_bytes_with_objects"`
	Each    float64 `json:"resident_bytes_per_object"`
	Error   string  `json:"error,omitempty"`
}

// churnRow is the memory, and the latency of hits, while new copies are made all the time and others are evicted.
type churnRow struct {
	Peer     string  `json:"peer"`
	Memory   int64   `json:"memory_bytes"`
	Resident int64   `json:"resident_bytes_at_most"`
	Misses   int     `json:"misses_per_second"`
	Hits     latency `json:"hits"` // the longest is the longest pause that a client saw
	Error    string  `json:"error,omitempty"`
}

// memoryPeers hold copies in their own memory. (HAProxy's cache ends at 4 GiB, all allocated at once; nginx and Traffic
// Server keep files.)
var memoryPeers = []string{ours, baseline, "Varnish"}

// cachesOf lists the caches among the peers; with names, only those with one of the names.
func (s *session) cachesOf(names ...string) (caches []peer) {
	for _, p := range s.peers {
		if p.limit {
			continue
		}
		for _, name := range names {
			if p.name == name {
				caches = append(caches, p)
			}
		}
		if len(names) == 0 {
			caches = append(caches, p)
		}
	}
	return caches
}

// alone starts one peer, measures the peer, and stops it. Without pin the peer has all cores, for measurements of
// memory only.
func (s *session) alone(ctx context.Context, l load, p peer, memory int64, pin bool, measure func(*bed, *server) error) (err error) {
	b, stop, err := s.makeBed(ctx, l)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	b.memory = memory
	if !pin {
		b.cores.Server = ""
	}
	server, err := b.startOne(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.process.Stop()) }()
	return measure(b, server)
}

// fill requests new objects.
func (s *session) fill(ctx context.Context, b *bed, server *server, objects int) error {
	_, err := s.fillWithin(ctx, b, server, objects, 0)
	return err
}

// fillWithin requests new objects until there are enough or the time is over, and returns the number requested. within
// is zero: no time limit.
func (s *session) fillWithin(ctx context.Context, b *bed, server *server, objects int, within time.Duration) (filled int, err error) {
	prefix, heads := s.uniquePrefix(), s.heads[realistic]
	began := time.Now()
	err = send(ctx, server.address, false, func(yield func(exchange) bool) {
		for ; filled < objects && (within == 0 || time.Since(began) < within); filled++ {
			if filled > 0 && filled%tellEvery == 0 {
				fmt.Fprintf(s.progress, "%s: %d of %d objects in %.0f s\n", server.name, filled, objects, time.Since(began).Seconds())
			}
			if !yield(exchange{prefix + strconv.Itoa(filled), heads[filled%len(heads)]}) {
				return
			}
		}
	})
	return filled, err
}

func (s *session) measureMemory(ctx context.Context, p peer) memoryRow {
	l := load{name: memoryName, size: 2 << 10, paths: onlyUnique}
	w := memoryRow{Peer: p.name, Wanted: s.options.objects}
	err := s.alone(ctx, l, p, int64(s.options.objects)*roomPerObject, false, func(b *bed, server *server) (err error) {
		if err := s.fill(ctx, b, server, 1000); err != nil { // memory of the first requests is not memory of objects
			return err
		}
		if w.Empty, err = bench.ResidentMemoryOfTree(server.process.PID()); err != nil {
			return err
		}
		began := time.Now()
		if w.Objects, err = s.fillWithin(ctx, b, server, w.Wanted, s.options.filling); err != nil {
			return err
		}
		w.Seconds = time.Since(began).Seconds()
		if w.Full, err = bench.ResidentMemoryOfTree(server.process.PID()); err != nil {
			return err
		}
		w.Each = float64(w.Full-w.Empty) / float64(w.Objects)
		return nil
	})
	if err != nil {
		w.Error = err.Error()
	}
	return w
}

func (s *session) measureChurn(ctx context.Context, p peer) churnRow {
	l := load{name: churnName, size: 2 << 10, paths: objects(2<<10, 1)}
	w := churnRow{Peer: p.name, Memory: churnMemory}
	err := s.alone(ctx, l, p, churnMemory, true, func(b *bed, server *server) error {
		if err := s.fill(ctx, b, server, churnTimes*churnMemory/l.size); err != nil {
			return err
		}
		hot, err := writeMaterial(b.dir, "hot", s.heads[realistic], "", l.paths())
		if err != nil {
			return err
		}
		new, err := writeMaterial(b.dir, "new", s.heads[realistic], "", onlyUnique())
		if err != nil {
			return err
		}
		return s.churn(ctx, &w, b, server, hot, new)
	})
	if err != nil {
		w.Error = err.Error()
	}
	return w
}

// churn requests one object that stays and other objects that are new, and samples the memory meanwhile.
func (s *session) churn(ctx context.Context, w *churnRow, b *bed, server *server, hot, new material) error {
	w.Misses = max(1, s.options.rate/2)
	duration := 10 * s.options.time
	var missing error
	var misses sync.WaitGroup
	prefix := s.uniquePrefix()
	misses.Go(func() {
		_, missing = runPaced(ctx, new, server.address, prefix, w.Misses, duration)
	})
	watched := bench.WatchMemory(server.process.PID(), bench.ResidentMemoryOfTree)
	var err error
	w.Hits, err = runPaced(ctx, hot, server.address, "", churnHits, duration)
	samples, watching := watched()
	w.Resident = slices.Max(samples)
	misses.Wait()
	return errors.Join(err, missing, watching)
}

func printMemory(to io.Writer, all []memoryRow) error {
	var rows []textRow
	for _, w := range all {
		row := textRow{peer: w.Peer}
		if w.Error != "" {
			row.why = []string{w.Error}
		} else {
			row.cells = []string{strconv.Itoa(w.Objects), fmt.Sprintf("%.0f s", w.Seconds), mebibytes(w.Empty), mebibytes(w.Full), fmt.Sprintf("%.0f", w.Each)}
		}
		rows = append(rows, row)
	}
	title := ""
	if len(all) > 0 {
		title = fmt.Sprintf("Memory for %d objects with bodies of 2,048 bytes", all[0].Wanted)
	}
	return printTable(to, title, []string{"objects", "filled in", "resident, empty", "resident, full", "bytes per object"}, rows)
}

func printChurn(to io.Writer, all []churnRow) error {
	var rows []textRow
	for _, w := range all {
		row := textRow{peer: w.Peer}
		if w.Error != "" {
			row.why = []string{w.Error}
		} else {
			row.cells = append([]string{mebibytes(w.Resident)}, times(w.Hits.P50, w.Hits.P999, w.Hits.Longest)...)
		}
		rows = append(rows, row)
	}
	title := ""
	if len(all) > 0 {
		title = fmt.Sprintf("Churn: %s for copies, full; %d misses/s come in, one object is asked for %d times/s", mebibytes(churnMemory), all[0].Misses, churnHits)
	}
	return printTable(to, title, []string{"resident at most", "hit p50", "hit p99.9", "longest pause"}, rows)
}

func mebibytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
