package main

import (
	"fmt"
	"math/rand/v2"

	"cacheproxy/test/system/bench"
)

// unique stands for a new path in each request.
const unique = "@"

// share bounds the part of the requests that may reach the origin. A round outside of the bounds was another load than
// its name says.
type share struct{ least, most float64 }

var (
	hits   = share{0, 0.001}
	misses = share{0.95, 1.05}
)

// fits reports whether the number of requests at the origin is within the bounds. In loads with misses, requests under
// way at the end have reached the origin and are not among the answered ones.
func (s share) fits(requests, atOrigin, underWay int) bool {
	if s.least == 0 {
		underWay = 0
	}
	return float64(atOrigin) >= s.least*float64(requests) && float64(atOrigin) <= s.most*float64(requests)+float64(underWay)
}

// load is a row of the table.
type load struct {
	name, title string
	connections int
	size        int             // of the answers' bodies
	paths       func() []string // requested one after another
	fields      string          // added to every head
	status      int
	origin      share
	constant    bool // measured with constant heads too
	many        bool // objects
	longer      int  // multiple of the usual duration, for loads that begin slowly
	tls, http2  bool
	valkey      bool // only cacheproxy, with copies in Valkey and not in memory
}

const (
	usualConnections = 64
	manyObjects      = 10_000
	zipfObjects      = 100_000
	zipfDraws        = 100_000
	valkeyObjects    = 20_000
)

func objects(size, count int) func() []string {
	return func() []string {
		paths := make([]string, count)
		for i := range paths {
			paths[i] = fmt.Sprintf("/%d/%d", size, i+1)
		}
		rand.New(rand.NewPCG(2, 2)).Shuffle(count, func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
		return paths
	}
}

func zipfPaths() []string {
	z, r := bench.NewZipf(zipfObjects, 1), rand.New(rand.NewPCG(3, 3))
	paths := make([]string, zipfDraws)
	for i := range paths {
		paths[i] = fmt.Sprintf("/%d/%d", 2<<10, z.Draw(r))
	}
	return paths
}

func onlyUnique() []string { return []string{unique} }

// mixedPaths has one miss among ten requests.
func mixedPaths() []string {
	paths := objects(2<<10, 9*500)()
	var mixed []string
	for i, path := range paths {
		mixed = append(mixed, path)
		if i%9 == 8 {
			mixed = append(mixed, unique)
		}
	}
	return mixed
}

// allLoads are the rows, in order.
func allLoads() []load {
	one := objects(2<<10, 1)
	loads := []load{
		{name: "hit", title: "hit on one object", constant: true},
		{name: "hit-10k", title: "hits on 10,000 objects", paths: objects(2<<10, manyObjects), many: true, constant: true},
		{name: "304", title: "hit, answered with 304", fields: "If-None-Match: " + etag + "\r\n", status: 304, constant: true},
		{name: "1000-connections", title: "hit, 1,000 connections", connections: 1000, constant: true},
		{name: "miss", title: "miss", paths: onlyUnique, origin: misses, constant: true},
		{name: "zipf", title: "hits on 100,000 objects, Zipf", paths: zipfPaths, many: true},
		{name: "64k", title: "hit on 64 KiB", size: 64 << 10},
		{name: "1m", title: "hit on 1 MiB", size: 1 << 20},
		{name: "new-connection", title: "hit, a new connection each", fields: "Connection: close\r\n"},
		{name: "mix", title: "90 % hits, 10 % misses", paths: mixedPaths, origin: share{0.09, 0.11}},
		{name: "l2", title: "hits in Valkey", paths: objects(2<<10, valkeyObjects), valkey: true},
		{name: "tls", title: "hit, TLS, HTTP/1.1", tls: true},
		{name: "h2", title: "hit, TLS, HTTP/2", tls: true, http2: true},
		{name: "1-connection", title: "hit, 1 connection", connections: 1},
		{name: "10000-connections", title: "hit, 10,000 connections", connections: 10_000, longer: 5},
	}
	for i := range loads {
		l := &loads[i]
		if l.connections == 0 {
			l.connections = usualConnections
		}
		if l.size == 0 {
			l.size = 2 << 10
		}
		if l.status == 0 {
			l.status = 200
		}
		if l.origin == (share{}) {
			l.origin = hits
		}
		if l.longer == 0 {
			l.longer = 1
		}
		if l.paths == nil {
			l.paths = one
			if l.size != 2<<10 {
				l.paths = objects(l.size, 1)
			}
		}
	}
	return loads
}
