package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"cacheproxy/policy"
)

// Defaults of Options.
const (
	DefaultTimeout        = 5 * time.Second
	DefaultMaxInFlight    = 64
	DefaultMaxQueue       = 256
	DefaultQueueTimeout   = time.Second
	DefaultMaxStreams     = 1000
	DefaultDialTimeout    = 3 * time.Second
	DefaultIdleTimeout    = 30 * time.Second
	DefaultMaxHeaderBytes = 1 << 20
)

// Options describe one upstream. A zero field takes its default, except where it says otherwise.
type Options struct {
	// Name is the upstream's name in configuration, logs and metrics.
	Name string
	// URL is scheme and host: http, https (HTTP/2 where the origin offers it) or h2c (HTTP/2 without TLS, for gRPC).
	URL *url.URL
	// Timeout bounds how long the origin may keep a request waiting for the response header; 0: 5s. It counts
	// connecting, writing and thinking, not the time that the client takes to send its body. The response's body may
	// take as long as it likes.
	Timeout time.Duration
	// MaxInFlight is how many requests may be at the origin at once, from sending to the last byte of the body; 0: 64.
	MaxInFlight int
	// MaxQueue is how many requests may wait for a place; 0: 256, below 0: none.
	MaxQueue int
	// QueueTimeout is how long one waits at most; 0: 1s.
	QueueTimeout time.Duration
	// MaxStreams is how many upgraded connections, event streams and gRPC calls may be open, which count apart from
	// MaxInFlight; 0: 1000, below 0: none.
	MaxStreams int
	// Host says which Host the origin sees. The zero value passes on the client's.
	Host policy.HostRule
	// DialTimeout bounds connecting, and apart from it the TLS handshake; 0: 3s.
	DialTimeout time.Duration
	// IdleTimeout is how long an unused connection is kept; 0: 30s. It should be shorter than the origin's own.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds the response header; 0: 1 MiB. A larger one is an origin error.
	MaxHeaderBytes int64
	// TLS holds authorities and client certificates for an https URL; nil: the system's. It is cloned before use.
	TLS *tls.Config
	// Dial makes connections instead of TCP; nil: TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Validate reports what makes an upstream unusable.
func (o Options) Validate() error {
	switch {
	case o.URL == nil:
		return errors.New("url is missing: name the upstream as http://host:port")
	case o.URL.Scheme != "http" && o.URL.Scheme != "https" && o.URL.Scheme != "h2c":
		return fmt.Errorf("url %q: use http://, https:// or h2c://", o.URL.Redacted())
	case o.URL.Host == "":
		return fmt.Errorf("url %q: the host is missing", o.URL.Redacted())
	case o.URL.User != nil:
		return fmt.Errorf("url %q: remove user and password, requests are forwarded with the client's own", o.URL.Redacted())
	case o.URL.Opaque != "" || strings.Trim(o.URL.Path, "/") != "" || o.URL.RawQuery != "" || o.URL.Fragment != "":
		return fmt.Errorf("url %q: remove everything after the host, paths are forwarded as they come", o.URL.Redacted())
	}
	return nil
}

func (o Options) withDefaults() Options {
	defaultTo(&o.Timeout, DefaultTimeout)
	defaultTo(&o.MaxInFlight, DefaultMaxInFlight)
	defaultTo(&o.MaxQueue, DefaultMaxQueue)
	defaultTo(&o.QueueTimeout, DefaultQueueTimeout)
	defaultTo(&o.MaxStreams, DefaultMaxStreams)
	defaultTo(&o.DialTimeout, DefaultDialTimeout)
	defaultTo(&o.IdleTimeout, DefaultIdleTimeout)
	defaultTo(&o.MaxHeaderBytes, DefaultMaxHeaderBytes)
	o.MaxInFlight = max(o.MaxInFlight, 1)
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

// Origin is one upstream. It implements http.RoundTripper.
type Origin struct {
	options   Options
	limiter   *limiter
	transport *http.Transport
	upgrades  *http.Transport // HTTP/1.1, the only version with Upgrade; nil for h2c, which cannot be upgraded
}

var _ http.RoundTripper = (*Origin)(nil)

// New returns the origin that o describes, which must be valid.
func New(o Options) *Origin {
	o = o.withDefaults()
	origin := &Origin{options: o, limiter: newLimiter(o)}
	http1, http2, h2c := (*http.Protocols).SetHTTP1, (*http.Protocols).SetHTTP2, (*http.Protocols).SetUnencryptedHTTP2
	switch o.URL.Scheme {
	case "h2c":
		origin.transport = newTransport(o, protocols(h2c))
	case "https":
		origin.transport = newTransport(o, protocols(http1, http2))
		origin.upgrades = newTransport(o, protocols(http1))
	default:
		origin.transport = newTransport(o, protocols(http1))
		origin.upgrades = origin.transport
	}
	return origin
}

// Name is the upstream's name.
func (o *Origin) Name() string { return o.options.Name }

// URL is where the upstream is. It must not be changed.
func (o *Origin) URL() *url.URL { return o.options.URL }

// HostRule says which Host the upstream sees.
func (o *Origin) HostRule() policy.HostRule { return o.options.Host }

// Host is the Host that the origin sees for a client's.
func (o *Origin) Host(client string) string {
	if o.options.Host.Literal != "" {
		return o.options.Host.Literal
	}
	return client
}

// InFlight is how many requests are at the origin, streams not counted.
func (o *Origin) InFlight() int { return o.read(func(l *limiter) int { return l.inFlight }) }

// Queued is how many requests wait for a place.
func (o *Origin) Queued() int { return o.read(func(l *limiter) int { return l.queued }) }

// Streams is how many streams are open.
func (o *Origin) Streams() int { return o.read(func(l *limiter) int { return l.streams }) }

// Shed is how many requests were refused a place, or a stream, since the start.
func (o *Origin) Shed() uint64 {
	o.limiter.mu.Lock()
	defer o.limiter.mu.Unlock()
	return o.limiter.shed
}

func (o *Origin) read(f func(*limiter) int) int {
	o.limiter.mu.Lock()
	defer o.limiter.mu.Unlock()
	return f(o.limiter)
}

// SetMaxInFlight changes how many requests may be at the origin at once, at least one: an instance's share changes with
// the number of instances.
func (o *Origin) SetMaxInFlight(n int) { o.limiter.setMax(n) }

// Acquire waits for a place at the origin; the slot must be released. It fails with ErrQueueFull, ErrQueueTimeout, or
// the cause of ctx's end. RoundTrip does this by itself.
func (o *Origin) Acquire(ctx context.Context, class Class) (*Slot, error) {
	return o.limiter.acquire(ctx, class)
}

// CloseIdle closes connections that nobody uses, for when the upstream is dropped from the configuration.
func (o *Origin) CloseIdle() {
	o.transport.CloseIdleConnections()
	if o.upgrades != nil {
		o.upgrades.CloseIdleConnections()
	}
}

type classKey struct{}

// WithClass says how urgent the requests are that RoundTrip gets with the context. Without it they are of class Write.
func WithClass(ctx context.Context, class Class) context.Context {
	return context.WithValue(ctx, classKey{}, class)
}

// RoundTrip sends req, whose URL SetTarget has set, when there is a place for it. The place is held until the response's
// body is read to its end or closed, which the caller must do; a response that turns out to be a stream changes to a
// stream's place. Errors are for Classify.
func (o *Origin) RoundTrip(req *http.Request) (*http.Response, error) {
	class, _ := req.Context().Value(classKey{}).(Class)
	slot, err := o.limiter.acquire(req.Context(), class)
	if err != nil {
		if req.Body != nil {
			req.Body.Close() // RoundTrip owns the body; its error cannot matter any more
		}
		return nil, fmt.Errorf("send to upstream %s: %w", o.options.Name, err)
	}
	return o.Send(req, slot)
}

// Send is RoundTrip for a caller that holds a slot already, which Send takes over.
func (o *Origin) Send(req *http.Request, slot *Slot) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	done := sync.OnceFunc(func() {
		cancel(nil)
		slot.Release()
	})
	res, err := o.send(req.WithContext(ctx), cancel)
	if err == nil && isStream(res) {
		if err = slot.Stream(); err != nil {
			res.Body.Close()
		}
	}
	if err != nil {
		done()
		return nil, fmt.Errorf("send to upstream %s: %w", o.options.Name, err)
	}
	res.Body = held(res.Body, done)
	return res, nil
}

// send returns the response as soon as its header is there. Its error tells the end of a patience from the end of a
// client from a failure of the origin.
func (o *Origin) send(req *http.Request, cancel context.CancelCauseFunc) (*http.Response, error) {
	wait := newWait(o.options.Timeout, cancel)
	req.Body = wait.watch(req.Body)
	if o.upgrades != nil && req.Header.Get("Expect") != "" {
		// On a connection that is kept, the transport would send the body of a request that was just refused, and so
		// ask the client for it.
		req.Close = true
	}
	res, err := o.transportFor(req).RoundTrip(req)
	bodyErr := wait.end()
	if err == nil {
		return res, nil
	}
	if req.Context().Err() != nil {
		return nil, endOf(req.Context())
	}
	if bodyErr != nil {
		return nil, bodyErr
	}
	return nil, err
}

// endOf tells why ctx ended: as the kind of end, and as its cause where one was given.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, ErrTimeout) || errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// transportFor also takes the wish to upgrade out of a request to an h2c origin, where it is not allowed
// (RFC 9113 §8.2.2) and an origin may always ignore it (RFC 9110 §7.8).
func (o *Origin) transportFor(req *http.Request) *http.Transport {
	if req.Header.Get("Upgrade") == "" {
		return o.transport
	}
	if o.upgrades != nil {
		return o.upgrades
	}
	req.Header = req.Header.Clone()
	req.Header.Del("Upgrade")
	req.Header.Del("Connection")
	return o.transport
}

// isStream reports whether a response lasts as long as its peers wish instead of as long as its bytes take.
func isStream(res *http.Response) bool {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return true
	}
	mediaType, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		return false
	}
	return mediaType == "text/event-stream" || strings.HasPrefix(mediaType, "application/grpc")
}

// held returns body such that done is called at its end. An upgraded connection stays writable.
func held(body io.ReadCloser, done func()) io.ReadCloser {
	if body == http.NoBody {
		done()
		return body
	}
	h := &heldBody{ReadCloser: body, done: done}
	if w, ok := body.(io.Writer); ok {
		return &heldConn{heldBody: h, Writer: w}
	}
	return h
}

type heldBody struct {
	io.ReadCloser
	done func()
}

// Read gives the place back at the end, whether or not the caller closes the body then.
func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.done()
	}
	return n, err
}

func (b *heldBody) Close() error {
	err := b.ReadCloser.Close()
	b.done()
	return err
}

// heldConn is an upgraded connection. One direction's end is not the connection's: only Close gives the place back.
type heldConn struct {
	*heldBody
	io.Writer
}

func (c *heldConn) Read(p []byte) (int, error) { return c.ReadCloser.Read(p) }

// CloseWrite tells the origin that nothing follows, and leaves the other direction open.
func (c *heldConn) CloseWrite() error {
	if w, ok := c.Writer.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
