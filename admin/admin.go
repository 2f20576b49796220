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

// maxCalls is how many calls may be at work that need a token. Health and metrics do not: with the answers that are held back (maxHeld)
// they are fewer than the connections of the listener, which always has room for those who ask whether the process is well.
const maxCalls = 64

// Options are what the listener is made of. Every func must be set and safe for concurrent use. Errors of Explain
// are shown to the caller as 400.
type Options struct {
	// Tokens are who may call what, until SetTokens says otherwise. None: only requests to a loopback address or a Unix
	// socket are served, and none that a web page could have made.
	Tokens []Token
	// Refused counts a call that was turned away for what its caller is or presented; reason is one of Refusals.
	Refused func(reason string)

	// Purge makes the copies unusable. What waits for all is answered with 200 only if the receipt says that it holds, whatever
	// else it says. Its context does not end with the client: what was accepted is carried out.
	Purge func(ctx context.Context, p Purge) (invalidation.Receipt, error)
	// ConfirmTimeout bounds Purge and SetMode. It must be longer than it takes to declare a silent instance dead, counted from
	// when the connection to the shared log was made anew.
	ConfirmTimeout func() time.Duration

	// URLMembers names the copies of a URL with a query, which is to be taken as it stands and as the route that the URL
	// belongs to forwards it. An empty Host stands for any host, an empty Scheme for any scheme.
	URLMembers func(httpcache.Target) []policy.Member
	// RouteNames lists the routes in force.
	RouteNames func() []string
	// Seen reports whether a copy of this instance has carried a member lately; it may say so of one that none has. Nil: nobody
	// knows, and receipts say nothing.
	Seen func(policy.Member) bool

	// Explain says, without asking the origin, what would become of a request. What it returns is shown as JSON. The
	// method is a token, the URL absolute or a path, the header well-formed; none of it is trusted. assumed are the fields of the header
	// that the caller has not given, as lines.
	Explain func(ctx context.Context, method, url string, header http.Header, assumed []string) (any, error)
	// SetMode switches a route on every instance, or back to what is configured. Of the receipt only Recorded and Held
	// count. When it fails, or the receipt does not say that it holds, it is in force on this instance all the same. Its
	// context does not end with the client.
	SetMode func(ctx context.Context, o ModeOrder) (invalidation.Receipt, error)
	// RefuseMode says what is wrong with an order; nil: nothing.
	RefuseMode func(ModeOrder) error
	// Modes tells the modes in force of all routes, in the order of the configuration.
	Modes func() []RouteMode
	// Config is the configuration in force with its secrets removed, to be shown as JSON.
	Config func() any
	// Reload reads the configuration again and puts it in force, or fails with an *InvalidConfigError. Its context does not
	// end with the client.
	Reload func(ctx context.Context) (Reloaded, error)
	// Writes is what can be done with writes that wait; nil: there is no queue of them.
	Writes *Writes
	// Ready is nil when this instance should get traffic. The error is shown to anyone: no keys, URLs or secrets in it.
	Ready func() error

	Gatherer prometheus.Gatherer
	Log      *slog.Logger // audit and refusals
	// AuditFull reports whether Log has no room for further lines, because nobody reads it. What would leave a line is refused then, so
	// that nothing is done of which there is none.
	AuditFull func() bool
	Build     string // version, shown by /healthz
}

// Handler is the handler of the operator's listener. It is safe for concurrent use.
type Handler struct{ inner *handler }

// New returns the handler of the operator's listener. It does not belong behind anything that cleans paths, such as
// http.ServeMux: names in purges are taken from the path as it came.
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

// SetTokens replaces the tokens in force, all at once: the next call is admitted by the new ones. To rotate a secret without
// a gap, configure the new one beside the old one, move the callers, and then remove the old one.
func (h *Handler) SetTokens(tokens []Token) { h.inner.tokens.Store(newTokenSet(tokens)) }

var reads = []string{http.MethodGet, http.MethodHead}

type handler struct {
	Options
	tokens  atomic.Pointer[tokenSet]
	guesses guesses
	places  chan struct{}   // has one for each call at work that needs a token
	calls   map[string]call // those with a fixed path
}

// call is one thing that an operator can ask for.
type call struct {
	open    bool  // needs no token
	named   bool  // open, and refused under a name that is not the listener's, as after DNS rebinding
	scope   Scope // what the token must allow one of; zero: nothing in particular
	methods []string
	anyHost bool            // Host is an operand, not the listener's name
	purges  bool            // refused unless all of the request is understood
	fields  map[string]bool // that the call has a meaning for, by their folded names
	serve   func(http.ResponseWriter, *request) error
}

// request is one call on its way to its answer.
type request struct {
	*http.Request
	target   httpcache.Target // raw
	name     string           // what follows the call's prefix in the path, unescaped once
	body     []byte           // of a purge
	caller   caller           // the zero value: not admitted
	bySecret bool             // the caller has presented one
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
		// net/http would wait for what nobody reads of it, before the answer goes out.
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

// guarded is serve, where a defect of this program is an error of the call and the log tells of it. net/http would close the connection
// without a word, and tell where nobody looks.
func (h *handler) guarded(w *answer, r *request) (err error) {
	defer func() {
		v := recover()
		switch v {
		case nil:
			return
		case http.ErrAbortHandler: // no defect: an answer is broken off
			panic(v)
		}
		h.Log.Error("admin call panicked", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		if w.status != 0 {
			panic(http.ErrAbortHandler) // whoever has a part is not to take it for the whole
		}
		err = errors.New("the call met a defect of this program, of which the log has more; what it asked for may be done")
	}()
	return h.serve(w, r)
}

// serve is the path of a call: what is asked for, who asks, may they, do it.
func (h *handler) serve(w http.ResponseWriter, r *request) error {
	c, unknown := h.find(r)
	if r.open = c.open; !c.open {
		who, err := h.admit(r.Request, c)
		r.caller = who // known, too, of one that is not allowed this
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

// find says which call a request makes and sets the request's target and name. Where it fails, the call says no more
// than that a token is needed to be told why.
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
		// Nobody is to be told what proxies on the way have added (RFC 9110 §9.3.8), whoever asks.
		return call{open: true}, problemNotAllowed(path, reads)
	}
	if c, ok := h.calls[path]; ok {
		return c, nil
	}
	if name, ok := strings.CutPrefix(path, "/debug/pprof/"); ok {
		r.name = name
		methods := reads
		if name == "symbol" {
			methods = append([]string{http.MethodPost}, reads...) // it takes addresses in a body
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

// isOwnPath reports whether a path is that of a call, and so not one that a method of another cache can name.
func (h *handler) isOwnPath(path string) bool {
	if _, ok := h.calls[path]; ok {
		return true
	}
	return slices.ContainsFunc([]string{"/keys/", "/tags/", "/routes/", "/writes/", "/debug/pprof/"}, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// profiles are those that pprof.Index does not serve.
var profiles = map[string]http.HandlerFunc{
	"cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
}

// maxProfile is how long a profile or a trace may take, in seconds.
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
