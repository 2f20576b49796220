package proxy

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// asker is one request, of which each input can be changed apart from the others.
type asker struct {
	method, target, host, peer string
	minor, major               int
	header                     http.Header
	content, trailer           bool
}

func (q asker) request(b *bubble) *http.Request {
	var body io.Reader
	if q.content {
		body = strings.NewReader("content")
	}
	r := httptest.NewRequestWithContext(b.t.Context(), q.method, q.target, body)
	r.Host, r.RemoteAddr, r.Header = q.host, q.peer, q.header.Clone()
	r.Proto, r.ProtoMajor, r.ProtoMinor = fmt.Sprintf("HTTP/%d.%d", q.major, q.minor), q.major, q.minor
	if q.trailer {
		r.Trailer, r.ContentLength, r.TransferEncoding = http.Header{"X-Late": nil}, -1, []string{"chunked"}
		r.Body = io.NopCloser(strings.NewReader("content"))
	}
	return r
}

func (q asker) ask(b *bubble) answer {
	w := httptest.NewRecorder()
	b.proxy.ServeHTTP(w, q.request(b))
	synctest.Wait()
	res := w.Result()
	return answer{status: res.StatusCode, header: res.Header, body: w.Body.String()}
}

const (
	trustedPeer  = "192.0.2.1:1234"
	strangerPeer = "198.51.100.7:1234"
)

// sayable are header fields that a client may say: of every class, hop-by-hop, in other spellings, and made up.
var sayable = []string{
	"Accept", "Accept-Language", "Accept-Charset", "Accept-Encoding", "Origin", "Via", "Cdn-Loop", "Traceparent", "Tracestate",
	"X-Request-Id", "X-B3-Traceid", "Cf-Ray", "User-Agent", "Referer", "Dnt", "Sec-Fetch-Mode", "Sec-Ch-Ua", "X-Theme", "X-Tenant",
	"X-Api-Key", "X-Client-Version", "X-Unknown", "X_tenant", "X_forwarded_host", "X-Host", "X-Original-Url", "X-Original-Path", "X-Matched-Path",
	"X-Middleware-Subrequest", "X-Invoke-Path", "X-Scheme", "Surrogate-Capability", "X-Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto",
	"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-User", "Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip",
	"Authorization", "Proxy-Authorization", "If-None-Match", "If-Modified-Since", "If-Match", "If-Range", "Range", "Cache-Control", "Pragma",
	"Te", "Upgrade", "Keep-Alive", "Proxy-Connection", "Expect", "Max-Forwards", "Content-Type", "Content-Encoding", "Content-Language", "Trailer",
	"X-Http-Method-Override", "Prefer", "Save-Data", "Priority",
	"X-Original-Host", "X-Rewrite-Path", "X-Astro-Path", "Hx-Target", "Turbo-Frame", "X-Pjax", "X-Inertia-Partial-Data", "X-Backend-Server", "Request-Uri", "Destination",
}

// values are what the fields of sayable are given; others are given made-up words.
var values = map[string][]string{
	"Accept-Encoding": {"gzip", "gzip, br", "identity", "*;q=0"}, "Accept-Language": {"de", "de-CH, de;q=0.9", "fr"}, "Expect": {"100-continue"},
	"Forwarded": {"host=evil.example", "for=10.0.0.1;proto=https"}, "X-Forwarded-Host": {"evil.example", "shop.example"},
	"X-Forwarded-Proto": {"https", "http"}, "Range": {"bytes=0-1"}, "Cache-Control": {"no-transform", "max-age=0", "only-if-cached"},
	"If-None-Match": {`"x"`}, "If-Range": {`"x"`}, "Te": {"trailers"}, "X-Http-Method-Override": {"GET", "SEARCH"}, "Max-Forwards": {"3"},
	"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-01"},
}

func anyOf[T any](g *rand.Rand, list ...T) T { return list[g.IntN(len(list))] }

// change changes one input.
func (q asker) change(g *rand.Rand) asker {
	q.header = q.header.Clone()
	switch g.IntN(12) {
	case 0:
		q.host = anyOf(g, "shop.example", "SHOP.example", "shop.example:80", "shop.example.", "evil.example")
	case 1:
		q.header["Cookie"] = []string{anyOf(g, "region=eu", "region=us; session=a", "session=b", "_ga=1; region=eu")}
	case 2:
		delete(q.header, "Cookie")
	case 3:
		q.target = anyOf(g, "/a", "/a?page=1", "/a?page=1&utm=x", "/a?utm=y", "/a?utm=z&page=1", "http://shop.example/a", "/a?callback=evil")
	case 4:
		q.header["Connection"] = []string{anyOf(g, "close", "keep-alive", "close, X-Tenant", "X-Theme", "Accept-Language", "te")}
	case 5:
		q.major, q.minor = 1, g.IntN(2)
	case 6:
		q.major, q.minor = 2, 0
	case 7:
		q.peer = anyOf(g, trustedPeer, strangerPeer)
	case 8:
		q.trailer = g.IntN(4) == 0
	default:
		name := anyOf(g, sayable...)
		said := values[name]
		if said == nil {
			said = []string{"a", "b", "evil"}
		}
		switch g.IntN(4) {
		case 0:
			delete(q.header, name)
		case 1:
			q.header[name] = []string{anyOf(g, said...), anyOf(g, said...)}
		default:
			q.header[name] = []string{anyOf(g, said...)}
		}
	}
	return q
}

// notes is an origin that writes down all that it is asked.
type notes struct {
	mu   sync.Mutex
	seen []note
	vary string
}

type note struct {
	line   string // method, target, Host, form of the content
	fields []string
}

func (o *notes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	n := note{line: fmt.Sprintf("%s %s %s %s %q %v %v", r.Method, r.Host, r.RequestURI, r.Proto, content, r.TransferEncoding, r.Trailer)}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		n.fields = append(n.fields, fmt.Sprintf("%s: %q", name, r.Header[name]))
	}
	o.mu.Lock()
	o.seen = append(o.seen, n)
	o.mu.Unlock()
	h := w.Header()
	h.Set("Cache-Control", "max-age=600")
	if o.vary != "" {
		h.Set("Vary", o.vary)
	}
	if from := r.Header.Get("Origin"); from != "" {
		h.Set("Access-Control-Allow-Origin", from)
	}
	if r.Method == "POST" {
		h.Set("Content-Location", r.RequestURI)
	}
	_, _ = io.WriteString(w, "answer")
}

// last is what was asked last, without the fields that may differ.
func (o *notes) last(may func(name string) bool) (line string, fields []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.seen[len(o.seen)-1]
	for _, field := range n.fields {
		if name, _, _ := strings.Cut(field, ": "); !may(name) {
			fields = append(fields, field)
		}
	}
	return n.line, fields
}

func (o *notes) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen)
}

// The fields that may differ between two fills of one copy: those of the trace, and those by which loops are noticed; and those by which
// an answer is negotiated, which an origin that heeds them has to name in Vary (RFC 9110 §12.5.5).
func mayDiffer(name string) bool {
	return httpcache.IsTrace(name) || name == "Via" || name == "Cdn-Loop" || httpcache.Negotiation(http.Header{name: {"x"}}) != "" && name != "Origin"
}

// traceOrLoop are those in which a renewal may differ: nobody's request has come by any way.
func traceOrLoop(name string) bool {
	return httpcache.IsTrace(name) || name == "Via" || name == "Cdn-Loop"
}

// mayDifferOfAll are those where all fields are forwarded: all that RFC 9111 leaves to Vary. The way that a request came and what reroutes
// it are none of these.
func mayDifferOfAll(name string) bool {
	switch name {
	case "X-Original-Host", "X-Rewrite-Path", "X-Astro-Path", "Hx-Target", "Turbo-Frame", "X-Pjax", "X-Inertia-Partial-Data", "X-Backend-Server", "Request-Uri", "Destination",
		"X-Host", "X-Original-Url", "X-Original-Path", "X-Matched-Path", "X-Middleware-Subrequest", "X-Invoke-Path", "X-Scheme", "X-Forwarded",
		"Surrogate-Capability", "X-Http-Method-Override", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Prefix",
		"X-Forwarded-User", "Forwarded", "Authorization", "Cookie", "Content-Type", "Content-Encoding", "Content-Language", "Range", "X-Tenant":
		return false
	}
	return true
}

// sharing are the routes on which requests share what was fetched for one of them.
var sharing = map[string]func(*policy.Route){
	"listed":      func(*policy.Route) {},
	"dropped":     func(r *policy.Route) { r.OnUnlisted = policy.UnlistedDrop },
	"keyed":       func(r *policy.Route) { r.OnUnlisted = policy.UnlistedKey },
	"ignored":     func(r *policy.Route) { r.IgnoreHeaders = []string{"X-*", "Origin", "Save-Data", "Prefer"} },
	"compression": func(r *policy.Route) { r.Compression = httpcache.Gzip },
	"way keyed":   func(r *policy.Route) { r.Headers = []string{"Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"} },
	"all":         func(r *policy.Route) { r.ForwardHeaders = policy.ForwardAll },
}

// Every request that a copy answers would have had the origin asked the same: change any input that is in neither key nor variant (host,
// header, cookie, query, trailer, connection, protocol, peer), and no byte to the origin changes, by a fill or by a renewal.
func TestWhoeverSharesACopyAsksTheSame(t *testing.T) {
	for host, literal := range map[string]string{"pass": "", "upstream": "origin.test", "by name": "api.internal"} {
		for name, change := range sharing {
			for _, vary := range []string{"", "Accept-Language, X-Theme"} {
				t.Run(fmt.Sprintf("host %s/%s/Vary %s", host, name, vary), func(t *testing.T) {
					o := &notes{vary: vary}
					route := routeFor(t, "all", func(r *policy.Route) {
						r.Policy, r.TTL, r.MinHits, r.RefreshAt, r.Key = policy.RefreshAhead, 600*time.Second, 1, 0.1, template(t, "a")
						r.Headers, r.Cookies, r.IgnoreCookies = []string{"X-Tenant"}, []string{"region"}, []string{"_ga"}
						r.Query, r.Host.Literal = policy.Query{Include: []string{"page"}, Unlisted: policy.UnlistedDrop}, literal
						change(r)
					}, "/")
					may := mayDiffer
					if route.ForwardHeaders == policy.ForwardAll {
						may = mayDifferOfAll
					}
					shared, renewed := 0, 0
					inBubble(t, o.ServeHTTP, rigOptions{origin: upstream.Options{Host: route.Host}}, route, func(b *bubble) {
						b.proxy.config().Trusted = []netip.Prefix{netip.MustParsePrefix(peer)}
						g := rand.New(rand.NewPCG(uint64(len(name)), uint64(len(vary))))
						for range unlessRace(150) {
							q := asker{method: "GET", target: "/a", host: "shop.example", peer: anyOf(g, trustedPeer, strangerPeer), major: 1, minor: 1, header: http.Header{}}
							for range g.IntN(5) {
								q = q.change(g)
							}
							other := q.change(g)
							b.invalidate(policy.All)
							if a := q.ask(b); !strings.HasSuffix(a.header.Get("Cache-Status"), "; stored") && !strings.Contains(a.header.Get("Cache-Status"), "; stored;") {
								continue
							}
							line, fields := o.last(may)
							_, first := o.last(traceOrLoop)
							before := o.count()
							if a := other.ask(b); !strings.HasPrefix(a.header.Get("Cache-Status"), "cacheproxy; hit") {
								continue
							}
							if o.count() != before {
								t.Fatalf("a copy that has just come was renewed")
							}
							shared++
							b.pass(500 * time.Second)
							if a := other.ask(b); strings.HasPrefix(a.header.Get("Cache-Status"), "cacheproxy; hit") && o.count() == before+1 {
								renewed++
								again, all := o.last(traceOrLoop)
								if route.ForwardHeaders == policy.ForwardAll { // what Vary does not name is left out
									all = slices.DeleteFunc(all, func(field string) bool { return strings.HasPrefix(field, "User-Agent: ") })
									first = slices.DeleteFunc(first, func(field string) bool { return !slices.Contains(all, field) })
								}
								if again != line || !slices.Equal(all, first) {
									t.Errorf("%+v\nfilled a copy by\n%s\n%s\nwhich %+v\nhad renewed by\n%s\n%s", q, line, strings.Join(first, "\n"), other, again, strings.Join(all, "\n"))
								}
							}
							b.invalidate(policy.All)
							if a := other.ask(b); strings.Contains(a.header.Get("Cache-Status"), "hit") {
								t.Fatalf("a purged copy answers: %s", a.header.Get("Cache-Status"))
							}
							if again, differ := o.last(may); again != line || !slices.Equal(differ, fields) {
								t.Errorf("%+v\nand %+v\nshare a copy, and are fetched by\n%s\n%s\nand by\n%s\n%s", q, other, line, strings.Join(fields, "\n"), again, strings.Join(differ, "\n"))
							}
							if t.Failed() {
								return
							}
						}
					})
					if shared < 8 || renewed < 4 {
						t.Errorf("only %d pairs shared a copy, and %d were renewed", shared, renewed)
					}
				})
			}
		}
	}
}

// What answers a write is kept only where a read that it then answers would have had the origin asked the same.
func TestWhoeverSharesAKeptAnswerAsksTheSame(t *testing.T) {
	told := func(name string) bool {
		switch name { // how the content is framed, who has sent the write, and by which way
		case "Content-Length", "Content-Type", "Transfer-Encoding", "User-Agent", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Keep-Alive":
			return true
		}
		return mayDiffer(name)
	}
	toldOfAll := func(name string) bool { return told(name) || mayDifferOfAll(name) }
	withoutMethod := func(line string) string { return strings.Join(strings.Fields(line)[1:3], " ") }
	for name, change := range sharing {
		t.Run(name, func(t *testing.T) {
			o, shared := &notes{}, 0
			route := routeFor(t, "all", func(r *policy.Route) {
				r.Policy, r.OnWrite, r.TTL = policy.WriteThrough, policy.OnWriteStore, 600*time.Second
				r.Headers, r.Cookies, r.IgnoreCookies = []string{"X-Tenant"}, []string{"region"}, []string{"_ga"}
				r.Query = policy.Query{Include: []string{"page"}, Unlisted: policy.UnlistedDrop}
				change(r)
			}, "/")
			told := told
			if route.ForwardHeaders == policy.ForwardAll {
				told = toldOfAll
			}
			inBubble(t, o.ServeHTTP, rigOptions{}, route, func(b *bubble) {
				b.proxy.config().Trusted = []netip.Prefix{netip.MustParsePrefix(peer)}
				g := rand.New(rand.NewPCG(1, uint64(len(name))))
				for range unlessRace(600) {
					q := asker{method: "POST", content: true, target: "/a", host: "shop.example", peer: anyOf(g, trustedPeer, strangerPeer), major: 1, minor: 1, header: http.Header{}}
					for range g.IntN(3) {
						q = q.change(g)
					}
					other := q
					other.method, other.content = "GET", false
					if g.IntN(2) == 0 {
						other = other.change(g)
					}
					b.invalidate(policy.All)
					before := o.count()
					if q.ask(b); o.count() != before+1 {
						continue
					}
					line, fields := o.last(told)
					if a := other.ask(b); !strings.HasPrefix(a.header.Get("Cache-Status"), "cacheproxy; hit") {
						continue
					}
					shared++
					b.invalidate(policy.All)
					other.ask(b)
					if again, differ := o.last(told); withoutMethod(again) != withoutMethod(line) || !slices.Equal(differ, fields) {
						t.Errorf("%+v\nleft an answer that is kept, and %+v\nshares it; they are sent as\n%s\n%s\nand as\n%s\n%s", q, other, line, strings.Join(fields, "\n"), again, strings.Join(differ, "\n"))
						return
					}
				}
			})
			if shared < unlessRace(10) {
				t.Errorf("only %d kept answers were shared", shared)
			}
		})
	}
}
