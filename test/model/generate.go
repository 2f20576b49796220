package model

import (
	"math/rand/v2"
	"time"
)

// Generator makes legal messages at random.
type Generator struct{ Rand *rand.Rand }

// Paths are what requests are for, with the fields by which their responses vary.
var Paths = map[string][]string{"/plain": nil, "/a": {"X-A"}, "/ab": {"X-A", "X-B"}}

var pathList = []string{"/plain", "/a", "/ab"}

// Request makes a request.
func (g Generator) Request() Request {
	r := Request{Method: "GET", Path: pathList[g.Rand.IntN(len(pathList))], Fields: map[string]string{}}
	switch g.Rand.IntN(20) {
	case 0:
		r.Method = "POST"
	case 1:
		r.Method = "DELETE"
	case 2, 3:
		r.Method = "HEAD"
	}
	for _, name := range []string{"X-A", "X-B"} {
		if v := g.Rand.IntN(3); v > 0 {
			r.Fields[name] = []string{"1", "2"}[v-1]
		}
	}
	r.Credentials = g.chance(6)
	r.OnlyIfCached = g.chance(12)
	return r
}

// Response makes a response to a request that reaches the origin now.
func (g Generator) Response(r Request, now time.Time) Response {
	now = now.Truncate(time.Second) // as fields have it
	res := Response{Status: 200, Date: now, Vary: Paths[r.Path]}
	if g.chance(3) {
		res.Status = []int{203, 404, 301, 302, 410, 500, 500, 503, 503, 503}[g.Rand.IntN(10)]
	}
	if g.chance(8) {
		res.Date = now.Add(-g.seconds(30))
	}
	if g.chance(5) {
		res.Age = g.seconds(60)
	}
	if !g.chance(4) {
		res.Control = g.control()
	}
	if g.chance(4) {
		t := res.Date.Add(g.seconds(120) - 30*time.Second)
		res.Expires = &t
	}
	if g.chance(3) {
		t := res.Date.Add(-g.seconds(1000))
		res.LastModified = &t
	}
	res.SetCookie = g.chance(12)
	if r.Method != "GET" && r.Method != "HEAD" && g.chance(3) {
		res.Location = pathList[g.Rand.IntN(len(pathList))]
	}
	return res
}

func (g Generator) control() *Control {
	d := Control{
		NoStore: g.chance(12), NoCache: g.chance(10), Private: g.chance(12), Public: g.chance(5), MustRevalidate: g.chance(6),
	}
	for _, number := range []**time.Duration{&d.MaxAge, &d.SMaxAge, &d.StaleWhileRevalidate, &d.StaleIfError} {
		if g.chance(3) {
			v := g.seconds(90)
			*number = &v
		}
	}
	if d.MaxAge == nil && g.chance(2) {
		v := g.seconds(90)
		d.MaxAge = &v
	}
	return &d
}

// Pause is how long after a request the next one comes. No two come in the same second, which fields cannot tell apart.
func (g Generator) Pause() time.Duration {
	if g.chance(4) {
		return time.Second + g.seconds(90)
	}
	return time.Second + g.seconds(10)
}

func (g Generator) chance(oneIn int) bool { return g.Rand.IntN(oneIn) == 0 }

func (g Generator) seconds(most int) time.Duration {
	return time.Duration(g.Rand.IntN(most+1)) * time.Second
}
