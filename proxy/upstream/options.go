package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"cacheproxy/policy"
)

// Defaults of Options.
const (
	defaultTimeout      = time.Minute
	defaultMaxQueue     = 256
	defaultQueueTimeout = time.Second
	DefaultMaxStreams   = 1000
	DefaultDialTimeout  = 3 * time.Second
	defaultReadTimeout  = time.Minute
	defaultMaxAge       = time.Minute

	defaultHealthInterval = 2 * time.Second
	defaultHealthTimeout  = time.Second
)

const userAgentField = "User-Agent"

// Options describe one upstream. A zero field takes its default, except where it says otherwise.
type Options struct {
	// Name is the upstream's name in configuration, logs and metrics.
	Name string
	// UserAgent is what requests that have none say of it: those of the proxy's own, health checks among them. Empty: cacheproxy.
	UserAgent string
	// URL is scheme and host: http, https (HTTP/2 where the upstream offers it) or h2c (HTTP/2 without TLS, for gRPC).
	URL *url.URL
	// Replicas are further addresses of the same service, with the scheme of URL: any of them may answer any request. A
	// host name with several IP addresses is one address; the dialer tries these in turn.
	Replicas []*url.URL
	// Health asks every address regularly whether it can work.
	Health HealthCheck
	// Timeout bounds how long the upstream may keep a request waiting for the response header; 0: 1m. It counts
	// connecting, writing and thinking, not the time that the client takes to send its body. A request that goes on to
	// another address because one could not be reached has it anew.
	Timeout time.Duration
	// ReadTimeout bounds how long the upstream may pause in the middle of a response's body while somebody waits for more,
	// which ends the response; 0: 1m. The body as a whole may take as long as it likes, and a stream pauses as it likes.
	ReadTimeout time.Duration
	// MaxInFlight is how many requests may be at the upstream at once; 0: any number. A request counts from sending to the last byte of the
	// response's body, or until its client has not taken the response for clientsTime, from when on it counts as a stream.
	MaxInFlight int
	// LimitPassing applies limits and timeouts to requests with Place.Passing too.
	LimitPassing bool
	// Limit is the name of limits that several upstreams share. Upstreams with the same name must have the same numbers, and be joined with
	// Share. Empty: the upstream has limits of its own.
	Limit string
	// FleetMaxInFlight is how many requests all instances together may have at the upstream, of which each takes its share: see
	// SetInstances. Zero: each has MaxInFlight to itself.
	FleetMaxInFlight int
	// MaxQueue is how many requests may wait for a place; 0: 256, below 0: none.
	MaxQueue int
	// QueueTimeout is how long one waits at most; 0: 1s.
	QueueTimeout time.Duration
	// MaxStreams is how many upgraded connections, event streams, silent gRPC calls, and answers that their client does not take may be open.
	// They do not count in MaxInFlight. 0: 1000, or any number if MaxInFlight is 0; below 0: none. One client may have a quarter of them.
	MaxStreams int
	// Host says which Host the upstream sees. The zero value passes on the client's.
	Host policy.HostRule
	// HostOfAddress has each address see itself as Host. Host.Literal must then be the host of URL.
	HostOfAddress bool
	// DialTimeout bounds connecting, and apart from it the TLS handshake; 0: 3s, or half of Timeout where that is less,
	// which leaves time for another address.
	DialTimeout time.Duration
	// MaxConnectionAge is for how long a connection is used for further requests, so that the upstream's name is resolved again regularly; less
	// up to a quarter, at random; 0: 1m, below 0: without limit.
	MaxConnectionAge time.Duration
	// TLS holds authorities and client certificates for an https URL; nil: the system's. It is cloned before use.
	TLS *tls.Config
	// Indirect sends requests without content through net/http's transport too, instead of direct.
	Indirect bool
	// Dial makes connections instead of TCP; nil: TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Waited is called with how long each request has waited for its place, whether or not it got it, but not for requests that were refused at
	// once. It must be safe for concurrent use. May be nil.
	Waited func(time.Duration)
	// Answered is called with the head of each answer, before Send returns it, and with the route of its request. Received is called with the
	// number of bytes of content as they come, except those of upgraded connections. Completed is called with how long an answer took from
	// its request to its last byte, except streams. They must be safe for concurrent use. Each may be nil.
	Answered  func(res *http.Response, route string)
	Received  func(bytes int)
	Completed func(time.Duration)
	// Log is told when an address goes out of use or comes back; nil: nobody.
	Log *slog.Logger
}

// HealthCheck asks an address with GET whether it can work: any status from 200 to 399 is a yes. An address is out of use
// after three failures in a row and back after two successes; the first answer of all counts at once. The requests go
// over connections of their own and take no place of Options.MaxInFlight. An only address stays in use whatever it says.
type HealthCheck struct {
	Path     string        // such as /healthz; empty: no check
	Interval time.Duration // between checks of one address, varied by a tenth; 0: 2s
	Timeout  time.Duration // for the whole answer; 0: 1s
}

// Validate reports what makes an upstream unusable.
func (o Options) Validate() error {
	if o.URL == nil {
		return errors.New("url is missing: name the upstream as http://host:port")
	}
	for i, u := range append([]*url.URL{o.URL}, o.Replicas...) {
		if err := validateAddress(u); err != nil {
			return err
		}
		if u.Scheme != o.URL.Scheme {
			return fmt.Errorf("url %q: use %s:// like the first: one upstream speaks one protocol", u.Redacted(), o.URL.Scheme)
		}
		if i > 0 && (u.Host == o.URL.Host || slices.ContainsFunc(o.Replicas[:i-1], func(r *url.URL) bool { return r.Host == u.Host })) {
			return fmt.Errorf("url %q: remove it here, it is named before", u.Redacted())
		}
	}
	if p := o.Health.Path; p != "" && !strings.HasPrefix(p, "/") {
		return fmt.Errorf("health path %q: write a path that begins with /", p)
	}
	return nil
}

func validateAddress(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c":
		return fmt.Errorf("url %q: use http://, https:// or h2c://", u.Redacted())
	case u.Host == "":
		return fmt.Errorf("url %q: the host is missing", u.Redacted())
	case u.User != nil:
		return fmt.Errorf("url %q: remove user and password, requests are forwarded with the client's own", u.Redacted())
	case u.Opaque != "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("url %q: remove everything after the host, paths are forwarded as they come", u.Redacted())
	}
	return nil
}

func (o Options) withDefaults() Options {
	defaultTo(&o.UserAgent, "cacheproxy")
	defaultTo(&o.Timeout, defaultTimeout)
	defaultTo(&o.MaxQueue, defaultMaxQueue)
	defaultTo(&o.QueueTimeout, defaultQueueTimeout)
	if o.MaxInFlight == 0 {
		defaultTo(&o.MaxStreams, unlimited)
	}
	defaultTo(&o.MaxStreams, DefaultMaxStreams)
	defaultTo(&o.DialTimeout, min(DefaultDialTimeout, o.Timeout/2))
	defaultTo(&o.ReadTimeout, defaultReadTimeout)
	defaultTo(&o.MaxConnectionAge, defaultMaxAge)
	defaultTo(&o.Health.Interval, defaultHealthInterval)
	defaultTo(&o.Health.Timeout, defaultHealthTimeout)
	if o.Answered == nil {
		o.Answered = func(*http.Response, string) {}
	}
	if o.Received == nil {
		o.Received = func(int) {}
	}
	if o.Completed == nil {
		o.Completed = func(time.Duration) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.MaxInFlight = max(o.MaxInFlight, 0)
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
	}
	return o
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
