package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
	"cacheproxy/writebehind"
)

// counter is a queue in memory, of which the test is the owner.
type counter struct {
	mu      sync.Mutex
	down    error
	entries []*writebehind.Entry
	states  map[string]writebehind.State
	blocks  map[string]bool
}

func newCounter() *counter {
	return &counter{states: map[string]writebehind.State{}, blocks: map[string]bool{}}
}

func (d *counter) Append(_ context.Context, e *writebehind.Entry) (writebehind.Receipt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down != nil {
		return writebehind.Receipt{}, d.down
	}
	for _, known := range d.entries {
		if known.Identities[0].Name == e.Identities[0].Name {
			if known.Identities[0].Payload != e.Identities[0].Payload {
				return writebehind.Receipt{}, writebehind.ErrOtherPayload
			}
			return writebehind.Receipt{ID: known.ID, State: d.states[known.ID], Known: true}, nil
		}
	}
	if len(d.entries) >= e.Rules.MaxQueued {
		return writebehind.Receipt{}, writebehind.ErrFull
	}
	d.entries, d.states[e.ID] = append(d.entries, e), "queued"
	return writebehind.Receipt{ID: e.ID, State: "queued", Accepted: time.Now()}, nil
}

func (d *counter) Last(_ context.Context, keys ...string) ([]writebehind.Last, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]writebehind.Last, len(keys))
	for _, e := range d.entries {
		if i := slices.Index(keys, e.Key); i >= 0 && d.states[e.ID] != writebehind.Done {
			if all[i].ID == "" {
				all[i].Blocked = d.blocks[e.ID]
			}
			all[i].ID = e.ID
		}
	}
	return all, d.down
}

func (d *counter) Find(_ context.Context, id string) (writebehind.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.entries {
		if e.ID == id {
			return writebehind.Record{ID: id, State: d.states[id], Key: e.Key, Route: e.Route, Accepted: time.Now(), Blocks: d.blocks[id], Sealed: e.Sealed}, d.down
		}
	}
	return writebehind.Record{}, errors.Join(d.down, writebehind.ErrUnknown)
}

func (d *counter) set(id string, s writebehind.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.states[id] = s
}

func (d *counter) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = err
}

func (d *counter) last() *writebehind.Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.entries[len(d.entries)-1]
}

// behindRig is a proxy with a route that answers writes before their origin does.
type behindRig struct {
	*rig
	counter *counter
}

func newBehindRig(t *testing.T, backend http.HandlerFunc, change func(*writebehind.Rules, *rigOptions), routes ...*policy.Route) *behindRig {
	t.Helper()
	rules := &writebehind.Rules{StatusPath: "/_writes/", MaxQueued: 10, MaxPerKey: 10, MaxBody: 64, MaxAge: time.Hour, Patience: 5 * time.Second}
	d := newCounter()
	o := rigOptions{writes: d, behind: map[string]*writebehind.Rules{"stock": rules}}
	if change != nil {
		change(rules, &o)
	}
	stock := routeFor(t, "stock", func(r *policy.Route) { r.Policy = policy.WriteBehind }, "GET /stock/{sku}", "PUT /stock/{sku}", "POST /stock/{sku}")
	stock.FencesWrites = true
	b := &behindRig{newRig(t, backend, o, append([]*policy.Route{stock}, routes...)...), d}
	b.learn()
	return b
}

// learn tells the proxy what every instance knows: its own routes.
func (b *behindRig) learn(others ...string) {
	all := map[string]time.Duration{}
	for _, said := range append(BehindOf(b.proxy).Routes(), others...) {
		all[said] = routeSettles
	}
	BehindOf(b.proxy).Learn(all)
}

func (b *behindRig) send(method, target, body string, header ...string) answer {
	b.t.Helper()
	a, err := b.try(method, target, strings.NewReader(body), header...)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// queued is the write that was accepted last, opened.
func (b *behindRig) queued() *writebehind.Write {
	b.t.Helper()
	e := b.counter.last()
	content, err := b.proxy.behind.sealer.Open(e.ID, e.Key, e.Sealed)
	if err != nil {
		b.t.Fatal(err)
	}
	w, err := writebehind.Decode(content)
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

// registers is an origin whose resources are what was put there.
func registers(seen func(*http.Request, string)) http.HandlerFunc {
	var mu sync.Mutex
	values := map[string]string{}
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if r.Method != http.MethodGet {
			values[r.URL.Path] = string(body)
			if seen != nil {
				seen(r, string(body))
			}
			return
		}
		value, ok := values[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, value)
	}
}

func untouched(t *testing.T) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the origin sees %s %s", r.Method, r.URL) }
}

func TestAccept(t *testing.T) {
	b := newBehindRig(t, untouched(t), nil)
	a := b.send("PUT", "/stock/5?x=1", "one", "Prefer", "wait=1, Respond-Async", "Authorization", "Bearer t", "Connection", "X-Own", "X-Own", "1", "X-Write-Sequence", "9", "X_Write_Sequence", "9", "Idempotency_key", "9")
	id := b.counter.last().ID
	if a.status != 202 || a.header.Get("Location") != "/_writes/"+id || a.header.Get("Preference-Applied") != "respond-async" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", a.status, a.header)
	}
	w := b.queued()
	if w.Method != "PUT" || w.Path != "/stock/5" || w.Query != "x=1" || string(w.Body) != "one" || w.Header.Get("Authorization") != "Bearer t" || w.Upstream != "shop" {
		t.Errorf("queued %+v", w)
	}
	for _, name := range []string{"Connection", "X-Own", "X-Write-Sequence", "X_write_sequence", "Idempotency_key", "Prefer", "Content-Length"} {
		if w.Header[name] != nil {
			t.Errorf("%s: %v is queued", name, w.Header[name])
		}
	}
	if len(w.Header["Idempotency-Key"]) != 1 || w.Header.Get("X-Forwarded-For") == "" || w.Header.Get("Via") == "" {
		t.Errorf("queued %v", w.Header)
	}
	if strings.Contains(string(b.counter.last().Sealed), "Bearer") {
		t.Error("credentials can be read in the queue")
	}
	var state struct{ ID, State string }
	shown := b.do("GET", a.header.Get("Location"))
	if err := json.Unmarshal([]byte(shown.body), &state); err != nil || shown.status != 200 || state.ID != id || state.State != "queued" || strings.Contains(shown.body, "one") {
		t.Errorf("%d %s, %v", shown.status, shown.body, err)
	}
	if a := b.do("GET", "/_writes/"+writebehind.NewID()); a.status != 404 {
		t.Errorf("a write that is none: %d", a.status)
	}
	if a := b.send("PUT", "/stock/6", "one"); a.header.Get("Preference-Applied") != "" {
		t.Error("a preference that was not there is applied")
	}
}

// An idempotency key stands for one request: the same gives the same write, another is refused, and the origin gets it.
func TestIdempotencyKey(t *testing.T) {
	b := newBehindRig(t, untouched(t), nil)
	first := b.send("POST", "/stock/5", "one", "Idempotency-Key", "k")
	if got := b.queued().Header.Get("Idempotency-Key"); got != "k" {
		t.Errorf("the origin gets the key %q", got)
	}
	if again := b.send("POST", "/stock/5", "one", "Idempotency-Key", "k"); again.status != 202 || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("%d %v", again.status, again.header)
	}
	if other := b.send("POST", "/stock/5", "two", "Idempotency-Key", "k"); other.status != 422 {
		t.Errorf("the key for another request: %d", other.status)
	}
	if a := b.send("POST", "/stock/5", "one", "Idempotency-Key", strings.Repeat("k", 256)); a.status != 400 {
		t.Errorf("a key that is too long: %d", a.status)
	}
}

// What cannot be accepted is refused, and never sent in its place.
func TestAcceptRefuses(t *testing.T) {
	b := newBehindRig(t, untouched(t), nil)
	if a := b.send("PUT", "/stock/5", strings.Repeat("x", 65)); a.status != 413 {
		t.Errorf("too large: %d", a.status)
	}
	for i := range 11 {
		a := b.send("PUT", fmt.Sprint("/stock/", i), "x")
		if want := map[bool]int{true: 202, false: 503}[i < 10]; a.status != want || want == 503 && a.header.Get("Retry-After") == "" {
			t.Errorf("write %d: %d", i, a.status)
		}
	}
	b.counter.fail(fmt.Errorf("%w: no disk", writebehind.ErrNotSafe))
	if a := b.send("PUT", "/stock/5", "x"); a.status != 503 || !strings.HasPrefix(a.header.Get("Location"), "/_writes/") {
		t.Errorf("what may be in the queue: %d %v", a.status, a.header)
	}
	b.counter.fail(errors.New("down"))
	if a := b.send("PUT", "/stock/5", "x"); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("the queue is down: %d", a.status)
	}
	BehindOf(b.proxy).Learn(nil)
	b.counter.fail(nil)
	if a := b.send("PUT", "/stock/5", "x"); a.status != 503 {
		t.Errorf("before every instance knows of the route: %d", a.status)
	}
}

// A write that goes through waits for those before it that have its key, by whatever route, mode and method it comes.
func TestWritesWaitBehind(t *testing.T) {
	other := `{"name":"gone","patterns":["PUT /carts/{id}"],"key":"c:{id}","status":"/_old/"}`
	for name, c := range map[string]struct {
		before, method, target string
		header                 []string
		mode                   policy.Mode
		unrelated              bool
	}{
		"a precondition":                {"/stock/5", "PUT", "/stock/5", []string{"If-Match", `"1"`}, policy.On, false},
		"a method that no route has":    {"/stock/5", "DELETE", "/stock/5", nil, policy.On, false},
		"a method that nobody knows":    {"/stock/5", "FROB", "/stock/5", nil, policy.On, false},
		"the route is off":              {"/stock/5", "PUT", "/stock/5", nil, policy.Off, false},
		"the route is observed":         {"/stock/5", "PUT", "/stock/5", nil, policy.Observe, false},
		"another spelling of the path":  {"/stock/5", "DELETE", "/stock/%35", nil, policy.On, false},
		"an unclean path":               {"/stock/5", "PUT", "/stock//5", nil, policy.On, false},
		"another query":                 {"/stock/5", "DELETE", "/stock/5?a=1", nil, policy.On, false},
		"another route with the key":    {"/stock/5", "PATCH", "/price/5", nil, policy.On, false},
		"another resource":              {"/stock/5", "PUT", "/stock/6", []string{"If-Match", `"1"`}, policy.On, true},
		"another route without the key": {"/stock/5", "POST", "/orders", nil, policy.On, true},
		"a route for everything":        {"/stock/5", "PATCH", "/stock/5", nil, policy.On, false},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var order []string
			price := routeFor(t, "price", func(r *policy.Route) { r.Policy, r.WriteKey = policy.Bypass, template(t, "s:{sku}") }, "PATCH /price/{sku}")
			routes, keyed := []*policy.Route{price}, name == "another route with the key"
			if name == "a route for everything" {
				routes, keyed = append(routes, routeFor(t, "all", func(r *policy.Route) { r.Policy = policy.Bypass }, "/")), true
			}
			b := newBehindRig(t, registers(func(r *http.Request, _ string) {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, r.Method+" "+r.URL.Path)
			}), nil, routes...)
			if keyed {
				b.proxy.config().byName["stock"].WriteKey = template(t, "s:{sku}")
				b.proxy.config().deferring = deferringOf(b.proxy.config().order)
			}
			b.learn(other)
			if a := b.send("PUT", c.before, "queued"); a.status != 202 {
				t.Fatal(a.status, a.body)
			}
			if c.mode != policy.On {
				if err := b.proxy.SetMode("stock", ModeOrder{Mode: c.mode}); err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan answer)
			go func() { done <- b.send(c.method, c.target, "through", c.header...) }()
			if !c.unrelated {
				select {
				case a := <-done:
					t.Fatalf("it does not wait: %d %s", a.status, a.body)
				case <-time.After(20 * time.Millisecond):
				}
				b.counter.set(b.counter.last().ID, writebehind.Done)
			}
			if a := <-done; a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(order) != 1 {
				t.Errorf("the origin has seen %v", order)
			}
		})
	}
}

// Where the queue does not answer, no write falls through that may have others before it; all others go on.
func TestQueueDown(t *testing.T) {
	b := newBehindRig(t, registers(nil), nil)
	b.counter.fail(errors.New("down"))
	for target, want := range map[string]int{"DELETE /stock/5": 503, "POST /orders": 200, "PUT /stock/5": 503} {
		method, path, _ := strings.Cut(target, " ")
		if a := b.send(method, path, "x"); a.status != want {
			t.Errorf("%s: %d, want %d", target, a.status, want)
		}
	}
}

// A route that nobody has any more keeps its order: the queue knows it.
func TestGoneRouteKeepsOrder(t *testing.T) {
	b := newBehindRig(t, registers(nil), func(r *writebehind.Rules, _ *rigOptions) { r.Patience = 50 * time.Millisecond })
	gone := `{"name":"carts","patterns":["PUT /carts/{id}"],"keyed":true,"status":"/_old/"}`
	e := &writebehind.Entry{ID: writebehind.NewID(), Rules: &writebehind.Rules{MaxQueued: 1}, Identities: []writebehind.Identity{{}}}
	host := strings.TrimPrefix(b.front.URL, "http://")
	e.Key = writebehind.KeyOf("shop", "u"+keyHost(host)+"/carts/1")
	if _, err := b.counter.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if a := b.send("POST", "/carts/1", "x"); a.status != 200 {
		t.Fatalf("a write of which nothing is known waits: %d", a.status)
	}
	b.learn(gone)
	b.counter.mu.Lock()
	b.counter.blocks[e.ID] = true
	b.counter.mu.Unlock()
	if a := b.send("POST", "/carts/1", "x"); a.status != 503 {
		t.Errorf("it does not wait: %d", a.status)
	}
	if a := b.do("GET", "/_old/"+e.ID); a.status != 200 {
		t.Errorf("the state of a write of a route that is gone: %d %s", a.status, a.body)
	}
}

// The upstream that says who may write is asked first, with the client's header; what it does not allow is not queued.
func TestAuthorize(t *testing.T) {
	status := 204
	var asked http.Header
	auth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Clone()
		asked.Set("Path", r.URL.RequestURI())
		w.Header().Set("Www-Authenticate", "Bearer")
		w.WriteHeader(status)
	}))
	t.Cleanup(auth.Close)
	u, _ := url.Parse(auth.URL)
	b := newBehindRig(t, untouched(t), func(r *writebehind.Rules, o *rigOptions) {
		r.AuthorizeUpstream, r.AuthorizePath = "auth", "/may?x=1"
		o.others = []upstream.Options{{Name: "auth", URL: u}}
	})
	for _, c := range []struct{ says, want int }{{204, 202}, {200, 202}, {401, 401}, {403, 403}, {302, 503}, {404, 503}, {500, 503}} {
		status = c.says
		a := b.send("PUT", "/stock/5", "x", "Authorization", "Bearer t", "Content-Type", "text/plain", "X-Forwarded-Method", "GET")
		if a.status != c.want || c.want == 401 && a.header.Get("Www-Authenticate") != "Bearer" {
			t.Errorf("it says %d: %d %v, want %d", c.says, a.status, a.header, c.want)
		}
		if why := a.header.Get("Cache-Status"); c.want == 503 && !strings.HasSuffix(why, "detail=origin-error") {
			t.Errorf("it says %d: %s", c.says, why)
		}
	}
	for name, want := range map[string]string{"Path": "/may?x=1", "Authorization": "Bearer t", "X-Forwarded-Method": "PUT", "X-Forwarded-Uri": "/stock/5", "Content-Type": ""} {
		if got := strings.Join(asked[name], "|"); got != want {
			t.Errorf("it is asked with %s: %q, want %q", name, got, want)
		}
	}
	b.send("PUT", "/%73tock/5", "x", "Authorization", "Bearer t")
	if got := asked.Get("X-Forwarded-Uri"); got != "/stock/5" {
		t.Errorf("of an escaped path it is asked with %q", got)
	}
	auth.Close()
	if a := b.send("PUT", "/stock/5", "x"); a.status != 503 {
		t.Errorf("it is away: %d", a.status)
	}
	if n := len(b.counter.entries); n != 2 {
		t.Errorf("%d writes are queued, and two were allowed", n)
	}
}

type lines chan string

func (l lines) Write(b []byte) (int, error) { l <- string(b); return len(b), nil }

// The access log says which write a 202 is about.
func TestQueuedInAccessLog(t *testing.T) {
	b, log := newBehindRig(t, registers(nil), nil), make(lines, 10)
	var err error
	if b.proxy.access, err = observe.NewAccessLog(observe.AccessLogOptions{Format: "json", Hits: 1, Others: 1, Output: log}); err != nil {
		t.Fatal(err)
	}
	b.send("PUT", "/stock/5", "one")
	if line := <-log; !strings.Contains(line, `"write":"`+b.counter.last().ID+`"`) {
		t.Error(line)
	}
	b.do("GET", "/stock/5")
	if line := <-log; strings.Contains(line, `"write":`) {
		t.Error(line)
	}
}

func TestSetModeRefusesAShare(t *testing.T) {
	b := newBehindRig(t, registers(nil), nil)
	if err := b.proxy.SetMode("stock", ModeOrder{Mode: policy.On, Share: 0.1}); err == nil {
		t.Error("a share of the writes may overtake the others")
	}
}
