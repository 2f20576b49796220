// Package model is a shared cache as RFC 9111 has it, written to be compared with the RFC and not to be fast: it keeps
// every response that it was told of, and decides about each request by looking at all of them. It knows messages by what
// they mean and reads no fields.
package model

import (
	"slices"
	"time"
)

// Control is the meaning of a Cache-Control field of a response. Nil numbers are absent.
type Control struct {
	NoStore, NoCache, Private, Public, MustRevalidate bool
	MaxAge, SMaxAge, StaleWhileRevalidate             *time.Duration
	StaleIfError                                      *time.Duration
}

// Response is what an origin answers. Nil fields are absent.
type Response struct {
	Status       int
	Serial       int // identifies the body
	Date         time.Time
	Age          time.Duration
	Control      *Control
	Expires      *time.Time
	LastModified *time.Time
	ETag         *string
	Vary         []string // the same for all responses of a path
	SetCookie    bool
	Location     string // a path of the same host; empty: none
}

// Request is what a client asks.
type Request struct {
	Method       string
	Path         string
	Fields       map[string]string // those that Vary may name
	Credentials  bool
	OnlyIfCached bool
}

// Exchange is a request that reached the origin.
type Exchange struct {
	Request  Request
	At       time.Time // when the response came
	Response Response  // of a 304: the fields that it had
	Renews   int       // of a 304, and of a HEAD with the same validator: the serial of the response that it confirms
}

// Kind says where the answer to a request comes from.
type Kind string

// The kinds of answers.
const (
	Fresh   Kind = "fresh copy"
	Stale   Kind = "stale copy while it is renewed"
	Origin  Kind = "origin"
	Refused Kind = "504"
)

// Answer is what a request has to get.
type Answer struct {
	Kind   Kind
	Serial int           // of the copy
	Age    time.Duration // of the copy
	// Instead is the serial of the stale copy, of that age, that may take the place of an error of the origin; 0: there is none.
	Instead int
}

// Cache is the model. The zero value is an empty cache.
type Cache struct{ stored []stored }

type stored struct {
	request  Request
	response Response
	received time.Time
	gone     bool // invalidated, or replaced
}

// Answer decides about a request that arrives now (RFC 9111 §4).
func (c *Cache) Answer(r Request, now time.Time) Answer {
	if r.Method != "GET" && r.Method != "HEAD" {
		return Answer{Kind: Origin}
	}
	if s := c.selected(r); s != nil && (!r.Credentials || allowsCredentials(s.response)) {
		age := s.age(now)
		switch left := s.response.lifetime() - age; {
		case s.response.control().NoCache:
		case left > 0:
			return Answer{Kind: Fresh, Serial: s.response.Serial, Age: age}
		case s.response.control().MustRevalidate || s.response.control().SMaxAge != nil:
		case -left < s.response.window() && !r.Credentials:
			return Answer{Kind: Stale, Serial: s.response.Serial, Age: age}
		case -left < s.response.errorWindow() && !r.OnlyIfCached && (!r.Credentials || r.Method == "GET"):
			// Nobody else can renew it with a client's credentials: those wait.
			return Answer{Kind: Origin, Instead: s.response.Serial, Age: age}
		}
	}
	if r.OnlyIfCached {
		return Answer{Kind: Refused}
	}
	return Answer{Kind: Origin}
}

// selected is the most recent of the stored responses that the request selects (§4.1).
func (c *Cache) selected(r Request) (latest *stored) {
	for i := range c.stored {
		s := &c.stored[i]
		if s.gone || s.request.Path != r.Path || !sameVariant(s.response.Vary, s.request, r) {
			continue
		}
		if latest == nil || !s.response.Date.Before(latest.response.Date) {
			latest = s
		}
	}
	return latest
}

func sameVariant(vary []string, a, b Request) bool {
	for _, name := range vary {
		x, inA := a.Fields[name]
		y, inB := b.Fields[name]
		if x != y || inA != inB {
			return false
		}
	}
	return true
}

// Learn tells of a request that reached the origin.
func (c *Cache) Learn(e Exchange) {
	switch {
	case e.Request.Method == "HEAD" && e.Renews == 0:
		// One that is about something else makes what is stored stale (§4.3.5). What is not stale has answered it.
	case e.Request.Method == "HEAD" && e.Request.Credentials:
	case e.Request.Method != "GET" && e.Request.Method != "HEAD":
		if e.Response.Status >= 200 && e.Response.Status < 400 {
			c.invalidate(e.Request.Path)
			c.invalidate(e.Response.Location)
		}
	case e.Renews != 0:
		for i := range c.stored {
			if s := &c.stored[i]; !s.gone && s.response.Serial == e.Renews {
				updated := Exchange{Request: e.Request, At: e.At, Response: merged(s.response, e.Response)}
				// What is said to those with credentials only says nothing to others.
				s.gone = storable(updated) || !e.Request.Credentials
				c.store(updated)
				return
			}
		}
	case e.Response.Status >= 500 && c.standsIn(e.Request, e.At):
		// An error does not take the place of what may be served instead (RFC 5861).
	case storable(e):
		c.store(e)
	case e.Response.Status < 500 && !e.Request.Credentials:
		// The origin says something else now, and wants it kept by nobody: what it said before is no answer any more.
		if old := c.selected(e.Request); old != nil {
			old.gone = true
		}
	}
}

// standsIn reports whether there is a response, and no error, that may be served while the origin fails.
func (c *Cache) standsIn(r Request, now time.Time) bool {
	s := c.selected(r)
	if s == nil || s.response.Status >= 500 || s.response.control().NoCache {
		return false
	}
	d := s.response.control()
	left := s.response.lifetime() - s.age(now)
	return left > 0 || !d.MustRevalidate && d.SMaxAge == nil && -left < s.response.errorWindow()
}

// Held is the response that a request selects, if that is a 200 with an ETag and was received no longer ago than recent; 0:
// there is none. A cache may give up older ones.
func (c *Cache) Held(r Request, now time.Time, recent time.Duration) (serial int) {
	s := c.selected(r)
	if s == nil || s.response.Status != 200 || s.response.ETag == nil || now.Sub(s.received) > recent {
		return 0
	}
	return s.response.Serial
}

// invalidate makes all responses of a path unusable (§4.4).
func (c *Cache) invalidate(path string) {
	for i := range c.stored {
		if c.stored[i].request.Path == path {
			c.stored[i].gone = true
		}
	}
}

// store keeps a response if that is allowed (§3), in the place of the one that the same request selects.
func (c *Cache) store(e Exchange) {
	if !storable(e) {
		return
	}
	if old := c.selected(e.Request); old != nil {
		old.gone = true
	}
	c.stored = append(c.stored, stored{request: e.Request, response: e.Response, received: e.At})
}

func storable(e Exchange) bool {
	r, d := e.Response, e.Response.control()
	if d.NoStore || d.Private || r.SetCookie {
		return false
	}
	s := stored{response: r, received: e.At}
	if e.Request.Credentials && (!allowsCredentials(r) || d.NoCache || r.lifetime() <= s.age(e.At)) {
		return false
	}
	if !s.worthwhile() {
		return false
	}
	explicit := d.SMaxAge != nil || d.MaxAge != nil || r.Expires != nil
	return explicit || d.Public || heuristic(r.Status)
}

// worthwhile reports whether a response can ever be an answer: now, while it is renewed, or once it was confirmed.
func (s stored) worthwhile() bool {
	r, d := s.response, s.response.control()
	validator := r.Status == 200 && (r.ETag != nil || r.LastModified != nil)
	left := r.lifetime() - s.age(s.received)
	return validator || !d.NoCache && (left > 0 || !d.MustRevalidate && d.SMaxAge == nil && -left < r.errorWindow())
}

// allowsCredentials is §3.5.
func allowsCredentials(r Response) bool {
	d := r.control()
	return d.Public || d.MustRevalidate || d.SMaxAge != nil
}

// heuristic is RFC 9110 §15.1.
func heuristic(status int) bool {
	return slices.Contains([]int{200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}, status)
}

func (r Response) control() Control {
	if r.Control == nil {
		return Control{}
	}
	return *r.Control
}

// lifetime is freshness_lifetime (§4.2.1, §4.2.2).
func (r Response) lifetime() time.Duration {
	d := r.control()
	switch {
	case d.SMaxAge != nil:
		return *d.SMaxAge
	case d.MaxAge != nil:
		return *d.MaxAge
	case r.Expires != nil:
		return max(0, r.Expires.Sub(r.Date)) // nothing becomes stale before it exists
	case r.LastModified != nil && (heuristic(r.Status) || d.Public):
		return min(r.Date.Sub(*r.LastModified)/10, 24*time.Hour)
	}
	return 0
}

// window is for how long a stale response may be served while it is renewed (RFC 5861 §3).
func (r Response) window() time.Duration { return optional(r.control().StaleWhileRevalidate) }

// errorWindow is for how long one may be served where the origin fails (RFC 5861 §4). What may be served anyway may be then.
func (r Response) errorWindow() time.Duration {
	return max(r.window(), optional(r.control().StaleIfError))
}

func optional(d *time.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return *d
}

// age is current_age (§4.2.3), of exchanges that take no time.
func (s stored) age(now time.Time) time.Duration {
	apparent := max(0, s.received.Sub(s.response.Date))
	return max(apparent, s.response.Age) + now.Sub(s.received)
}

// merged is a stored response with the fields of a 304 (§3.2, §4.3.4).
func merged(old, update Response) Response {
	new := old
	new.Date, new.Age = update.Date, update.Age
	new.SetCookie = old.SetCookie || update.SetCookie
	if update.Control != nil {
		new.Control = update.Control
	}
	if update.Expires != nil {
		new.Expires = update.Expires
	}
	if update.LastModified != nil {
		new.LastModified = update.LastModified
	}
	return new
}
