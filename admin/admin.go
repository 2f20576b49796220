package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxCalls bounds the concurrent calls that need a token. Health and metrics need none and are not counted. maxCalls
// and maxHeld together are less than the listener's connections, so that a check of the process's health always gets a
// connection.
const maxCalls = 64

// Options are the parts of the listener. Every func must be set and safe for concurrent use. The caller sees errors of
// Explain as 400.
type Options struct {
	// Tokens are the tokens in force until SetTokens replaces them. Without tokens, the listener serves only requests
	// to a loopback address or a Unix socket, and only requests that no web page could have made.
	Tokens []Token
	// Refused counts a call that was refused for who its caller is or for the credentials presented. reason is one of
	// Refusals.
	Refused func(reason string)

	// Purge makes the copies unusable. An order that waits for all is answered with 200 only if the receipt has Held
	// set, whatever else the receipt says. The context does not end with the client: an accepted purge is carried out.
	Purge func(ctx context.Context, p Purge) (invalidation.Receipt, error)
	// ConfirmTimeout bounds Purge and SetMode. The timeout must be longer than declaring a silent instance dead takes,
	// counted from the last new connection to the shared log.
	ConfirmTimeout func() time.Duration

	// URLMembers names the copies of a URL with a query: of the query as it stands, and of the query as the URL's route
	// forwards it. An empty Host stands for any host, an empty Scheme for any scheme.
	URLMembers func(httpcache.Target) []policy.Member
	// RouteNames lists the routes in force.
	RouteNames func() []string
	// Seen reports whether a copy of this instance has carried a member lately. Seen may be true for a member that no
	// copy has carried. Nil: receipts do not tell.
	Seen func(policy.Member) bool

	// Explain says, without asking the origin, what would happen to a request. The result is shown as JSON. The method
	// is a token, the URL absolute or a path, the header well-formed; Explain must trust none of them. assumed are the
	// lines of header that the caller did not send.
	Explain func(ctx context.Context, method, url string, header http.Header, assumed []string) (any, error)
	// SetMode switches a route on every instance, or resets the route to its configured mode. Only Recorded and Held of
	// the receipt count. The mode is in force on this instance even after an error or without Held. The context does
	// not end with the client.
	SetMode func(ctx context.Context, o ModeOrder) (invalidation.Receipt, error)
	// RefuseMode returns the fault of an order; nil: none.
	RefuseMode func(ModeOrder) error
	// Modes lists the modes in force of all routes, in the order of the configuration.
	Modes func() []RouteMode
	// Config is the configuration in force with its secrets removed, to be shown as JSON.
	Config func() any
	// Reload reads the configuration again and puts it in force, or fails with an *InvalidConfigError. The context does
	// not end with the client.
	Reload func(ctx context.Context) (Reloaded, error)
	// Writes has the actions on queued writes; nil: there is no queue.
	Writes *Writes
	// Ready is nil when this instance should get traffic. Anyone may see the error, so it must not hold keys, URLs or
	// secrets.
	Ready func() error

	Gatherer prometheus.Gatherer
	Log      *slog.Logger // audit and refusals
	// AuditFull reports whether Log has no room for further lines, because nothing reads the log. The handler then
	// refuses calls that would write a line, so that no action goes unlogged.
	AuditFull func() bool
	Build     string // version, in the answer of /healthz
}

// Handler is the handler of the operator's listener. It is safe for concurrent use.
type Handler struct{ inner *handler }

// New returns the handler of the operator's listener. Do not put the handler behind code that cleans paths, such as
// http.ServeMux: purges take names from the path as sent.
func New(o Options) *Handler {
	h := &handler{Options: o, guesses: newGuesses(), places: make(chan struct{}, maxCalls)}
	h.tokens.Store(newTokenSet(o.Tokens))
	metrics := promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelError)})
	h.calls = map[string]call{
		"/healthz": {open: true, methods: reads, serve: h.health},
		"/readyz":  {open: true, methods: reads, serve: h.ready},
		"/metrics": {open: true, named: true, methods: reads, serve: plain(metrics.ServeHTTP)},
		"/purge":   {scope: ScopePurge, methods: []string{http.MethodPost}, purges: true, serve: h.purgeBody},
		"/explain": {scope: ScopeRead, methods: reads, serve: h.explain},
		"/config":  {scope: ScopeRead, methods: reads, serve: h.config},
		"/reload":  {scope: ScopeMode, methods: []string{http.MethodPost}, serve: h.reload},
		"/routes":  {scope: ScopeRead | ScopeMode, methods: reads, serve: h.modes},
		"/writes":  {scope: ScopeRead | ScopeMode, methods: reads, serve: h.writes},
	}
	return &Handler{h}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.inner.ServeHTTP(w, r) }

// SetTokens replaces all tokens in force at once; the next call is checked against the new tokens. To rotate a secret
// without a gap, configure the new token beside the old one, move the callers, and then remove the old token.
func (h *Handler) SetTokens(tokens []Token) { h.inner.tokens.Store(newTokenSet(tokens)) }

var reads = []string{http.MethodGet, http.MethodHead}

type handler struct {
	Options
	tokens  atomic.Pointer[tokenSet]
	guesses guesses
	places  chan struct{}   // holds an element for each running call that needs a token
	calls   map[string]call // the calls with a fixed path
}

// call is one operation of the listener.
type call struct {
	open    bool  // needs no token
	named   bool  // open, but refused under a name other than the listener's, as after DNS rebinding
	scope   Scope // the token must allow one of these; zero: any token will do
	methods []string
	anyHost bool            // Host is an operand, not the listener's name
	purges  bool            // refused unless every part of the request is understood
	fields  map[string]bool // fields with a meaning for the call, by folded name
	serve   func(http.ResponseWriter, *request) error
}

// request is one call while it is served.
type request struct {
	*http.Request
	target   httpcache.Target // raw
	name     string           // the rest of the path after the call's prefix, unescaped once
	body     []byte           // of a purge
	caller   caller           // zero value: not admitted
	bySecret bool             // admitted while tokens are configured, by a secret or by address
	form     form             // of the answer
	from     string           // the peer's address
	open     bool             // the call needs no token
	entry    entry            // of the audit log
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	out, req := &answer{ResponseWriter: w}, &request{Request: r, from: peer(r)}
	if r.ContentLength != 0 && r.Body != nil {
		// Before sending the answer, net/http would wait for body bytes that the call does not read.
		out.unread = &tracked{ReadCloser: r.Body}
		out.closes = r.ProtoMajor == 1
		r.Body = out.unread
	}
	req.entry.start = time.Now()
	defer func() { h.audit(req, out.status) }()
	if err := h.guarded(out, req); err != nil {
		p := problemOf(err)
		req.entry.problem = p
		if p.refusal != "" {
			h.refused(req, p)
		}
		p.write(out, req.form)
	}
}

// guarded runs serve and turns a panic into an error of the call and a line in the log. Left alone, net/http would
// close the connection without an answer and log the panic to another place.
func (h *handler) guarded(w *answer, r *request) (err error) {
	defer func() {
		v := recover()
		switch v {
		case nil:
			return
		case http.ErrAbortHandler: // no defect: the answer is broken off
			panic(v)
		}
		h.Log.Error("admin call panicked", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		if w.status != 0 {
			// Part of an answer is out. The connection breaks off, so that the client does not take the part for the
			// whole.
			panic(http.ErrAbortHandler)
		}
		err = errors.New("the call met a defect of this program, of which the log has more; what it asked for may be done")
	}()
	return h.serve(w, r)
}

// serve finds the call, admits the caller, checks the request and runs the call.
func (h *handler) serve(w http.ResponseWriter, r *request) error {
	c, unknown := h.find(r)
	if r.open = c.open; !c.open {
		who, err := h.admit(r.Request, c)
		r.caller = who // known even where the token does not allow the call
		r.bySecret = h.tokens.Load().configured && err == nil
		if err != nil {
			return err
		}
	}
	if unknown != nil {
		return unknown
	}
	if !c.open && h.AuditFull() {
		r.entry.silent = true
		p := problemf(http.StatusServiceUnavailable, "nothing was done: nobody reads the log, and its room for who did what is full; have the program's standard error read")
		p.header.Set("Retry-After", "1")
		return p
	}
	if c.named {
		if err := admitName(r.Request); err != nil {
			return err
		}
	}
	if !c.open {
		select {
		case h.places <- struct{}{}:
			defer func() { <-h.places }()
		default:
			p := problemf(http.StatusServiceUnavailable, "nothing was done: %d calls are at work, which is as many as may be; try again", maxCalls)
			p.header.Set("Retry-After", "1")
			return p
		}
	}
	if !slices.Contains(c.methods, r.Method) {
		return problemNotAllowed(r.target.Path, c.methods)
	}
	if c.purges {
		var err error
		if r.body, err = readPurge(w, r, c.fields); err != nil {
			return err
		}
	}
	return c.serve(w, r)
}

// find determines the call of a request and sets the request's target and name. The call returned with an error says
// only whether the caller must be admitted before learning the error.
func (h *handler) find(r *request) (c call, err error) {
	if r.target, err = splitTarget(r.RequestURI); err != nil {
		return call{anyHost: foreignFields[r.Method] != nil}, badRequest(err)
	}
	path := r.target.Path
	if fields, ok := foreignFields[r.Method]; ok && (r.Method == "PURGE" || !h.isOwnPath(path)) {
		if r.Method == "PURGE" && (len(r.Header.Values("Fastly-Key")) > 0 || len(r.Header.Values("Fastly-Soft-Purge")) > 0) {
			r.form = formFastly
		}
		return call{scope: ScopePurge, methods: []string{r.Method}, anyHost: true, purges: true, fields: fields, serve: h.purgeForeign}, nil
	}
	if r.Method == http.MethodTrace {
		// No caller may learn which fields proxies on the way have added (RFC 9110 §9.3.8).
		return call{open: true}, problemNotAllowed(path, reads)
	}
	if c, ok := h.calls[path]; ok {
		return c, nil
	}
	if name, ok := strings.CutPrefix(path, "/debug/pprof/"); ok {
		r.name = name
		methods := reads
		if name == "symbol" {
			methods = append([]string{http.MethodPost}, reads...) // symbol takes addresses in a body
		}
		return call{scope: ScopeRead, methods: methods, serve: profile}, nil
	}
	if c, found, err := h.findForeignAPI(r); found {
		if err != nil {
			return c, badRequest(err)
		}
		return c, nil
	}
	var name string
	switch {
	case strings.HasPrefix(path, "/keys/"):
		name = path[len("/keys/"):]
		c = call{scope: ScopePurge, methods: []string{http.MethodDelete}, purges: true, serve: h.purgeName(policy.KindKey)}
	case strings.HasPrefix(path, "/tags/"):
		name = path[len("/tags/"):]
		c = call{scope: ScopePurge, methods: []string{http.MethodDelete}, purges: true, serve: h.purgeName(policy.KindTag)}
	case strings.HasPrefix(path, "/routes/") && strings.HasSuffix(path[len("/routes/"):], "/mode"):
		name = strings.TrimSuffix(path[len("/routes/"):], "/mode")
		c = call{scope: ScopeMode, methods: []string{http.MethodPost, http.MethodDelete}, serve: h.setMode}
	case strings.HasPrefix(path, "/writes/"):
		name = path[len("/writes/"):]
		c = call{scope: ScopeMode, methods: []string{http.MethodPost, http.MethodDelete}, serve: h.decideWrite}
	case !slices.Contains(standardMethods, r.Method):
		return call{scope: ScopePurge, anyHost: true}, methodNotUnderstood(r.Method)
	default:
		return call{}, problemf(http.StatusNotFound, "no such call: %s%s", shorten(path), insteadOfPath(path))
	}
	if r.name, err = unescape(name); err != nil {
		return c, badRequest(err)
	}
	return c, nil
}

// isOwnPath reports whether a path belongs to a call. A method of another cache cannot purge such a path.
func (h *handler) isOwnPath(path string) bool {
	if _, ok := h.calls[path]; ok {
		return true
	}
	return slices.ContainsFunc([]string{"/keys/", "/tags/", "/routes/", "/writes/", "/debug/pprof/"}, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// profiles are the profiles that pprof.Index does not serve.
var profiles = map[string]http.HandlerFunc{
	"cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
}

// maxProfile bounds the duration of a profile or a trace, in seconds.
const maxProfile = 60

// profile serves net/http/pprof.
func profile(w http.ResponseWriter, r *request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if text := r.FormValue("seconds"); text != "" {
		if seconds, err := strconv.ParseFloat(text, 64); err != nil || !(seconds > 0 && seconds <= maxProfile) {
			return problemf(http.StatusBadRequest, "seconds is %q: a number above 0, and %d at most", shorten(text), maxProfile)
		}
	}
	serve, ok := profiles[r.name]
	if !ok {
		serve = pprof.Index
	}
	serve(w, r.Request)
	return nil
}

func plain(serve http.HandlerFunc) func(http.ResponseWriter, *request) error {
	return func(w http.ResponseWriter, r *request) error {
		serve(w, r.Request)
		return nil
	}
}
