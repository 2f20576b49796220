package proxy

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/test/model"
)

var (
	seed  = flag.Uint64("seed", 0, "of the one run of TestAgainstModel; 0: the fixed ones")
	steps = flag.Int("exchanges", 400, "of each run of TestAgainstModel")
)

// The proxy answers random requests as the model of RFC 9111 says, from the copy that the model names, with its Age.
func TestAgainstModel(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	if *seed != 0 {
		seeds = []uint64{*seed}
	}
	for _, n := range seeds {
		t.Run(fmt.Sprint("seed ", n), func(t *testing.T) {
			o := &modelled{g: model.Generator{Rand: rand.New(rand.NewPCG(n, n))}}
			route := routeFor(t, "all", func(r *policy.Route) {
				r.TTL, r.ForwardHeaders, r.FailedWrite = 0, policy.ForwardAll, policy.FailedKeep
			}, "/")
			inBubble(t, o.ServeHTTP, rigOptions{}, route, func(b *bubble) {
				for i := range unlessRace(*steps) {
					b.pass(o.g.Pause())
					if err := o.compare(b); err != nil {
						b.t.Fatalf("exchange %d: %v\nbefore it:\n%s", i+1, err, strings.Join(o.told, "\n"))
					}
				}
			})
		})
	}
}

// modelled is an origin of random responses, and the model that is told of them.
type modelled struct {
	g     model.Generator
	cache model.Cache
	told  []string // the last exchanges, for the one who looks for the reason

	mu     sync.Mutex // guards what follows and g, between compare and the origin
	serial int
	seen   []model.Exchange
	made   map[int]time.Time // by serial
	failed map[int]time.Time // when the origin last failed, by the copy that stood in
}

// compare makes one request and judges the answer by the model.
func (o *modelled) compare(b *bubble) error {
	r := o.g.Request()
	want := o.cache.Answer(r, time.Now())
	o.note(fmt.Sprintf("%s %+v: %+v", time.Now().Format(time.TimeOnly), r, want))
	got := b.do(r.Method, r.Path, fields(r)...)
	b.pass(0) // a renewal in the background
	o.mu.Lock()
	seen := o.seen
	o.seen = nil
	o.mu.Unlock()
	for _, e := range seen {
		o.note(fmt.Sprintf("    origin: %+v control %s", e, controlled(e.Response.Control)))
		o.cache.Learn(e)
	}
	if want.Instead != 0 && len(seen) == 0 && time.Since(o.failed[want.Instead]) < maxFailedPause {
		// The origin failed a while ago, and is not asked again at once.
		want = model.Answer{Kind: model.Stale, Serial: want.Instead, Age: want.Age}
	}
	if want.Instead != 0 && len(seen) > 0 && originFailed(seen[0].Response.Status) {
		if o.failed == nil {
			o.failed = map[int]time.Time{}
		}
		o.failed[want.Instead] = time.Now()
	}
	if err := judge(want, got, seen); err != nil {
		return err
	}
	return o.young(got, seen)
}

// young holds the Age of an answer, wherever it comes from, against the time at which the origin made it: no more has passed since, by the
// earliest that Date and Age of any exchange about it say.
func (o *modelled) young(got answer, seen []model.Exchange) error {
	if o.made == nil {
		o.made = map[int]time.Time{}
	}
	for _, e := range seen {
		serial := max(e.Renews, e.Response.Serial)
		for _, made := range []time.Time{e.At.Add(-e.Response.Age), e.Response.Date} {
			if before, known := o.made[serial]; !known || made.Before(before) {
				o.made[serial] = made
			}
		}
	}
	said := got.header.Get("Age")
	if said == "" {
		return nil
	}
	age, err := strconv.Atoi(said)
	serial, _ := strconv.Atoi(got.header.Get("X-Serial"))
	made, known := o.made[serial]
	if since := time.Since(made); err != nil || !known || age < 0 || time.Duration(age)*time.Second > since {
		return fmt.Errorf("the Age of response %d is %q, which was made %v ago (%q)", serial, said, since, got.header["Cache-Status"])
	}
	return nil
}

func (o *modelled) note(line string) {
	o.told = append(o.told, line)
	if len(o.told) > 40 {
		o.told = o.told[1:]
	}
}

func judge(want model.Answer, got answer, seen []model.Exchange) error {
	status := strings.Join(got.header["Cache-Status"], ", ")
	asked := map[model.Kind]int{model.Fresh: 0, model.Stale: 1, model.Origin: 1, model.Refused: 0}[want.Kind]
	// What the origin has failed on may be what this request alone says: then the copy is renewed by what has fetched it.
	renewed := len(seen) == 2 && want.Instead != 0 && originFailed(seen[0].Response.Status) && len(seen[1].Request.Fields) < len(seen[0].Request.Fields)
	// A renewal that failed is not tried again at once.
	if len(seen) != asked && !renewed && (want.Kind != model.Stale || len(seen) > 1) {
		return fmt.Errorf("the origin was asked %d times; want %s; got %d, %q", len(seen), want.Kind, got.status, status)
	}
	serial := want.Serial
	switch want.Kind {
	case model.Refused:
		if got.status != http.StatusGatewayTimeout {
			return fmt.Errorf("got %d, %q; want 504", got.status, status)
		}
		return nil
	case model.Origin:
		if serial = seen[0].Response.Serial; seen[0].Response.Status == http.StatusNotModified {
			serial = seen[0].Renews
		}
		if want.Instead != 0 && originFailed(seen[0].Response.Status) {
			serial = want.Instead
		}
	default:
		if age := strconv.Itoa(int(want.Age / time.Second)); got.header.Get("Age") != age {
			return fmt.Errorf("Age is %q, want %s (%q)", got.header.Get("Age"), age, status)
		}
	}
	if got.header.Get("X-Serial") != strconv.Itoa(serial) {
		return fmt.Errorf("got response %q, want %d from the %s (%q)", got.header.Get("X-Serial"), serial, want.Kind, status)
	}
	return nil
}

func fields(r model.Request) (list []string) {
	for name, value := range r.Fields {
		list = append(list, name, value)
	}
	if r.Credentials {
		list = append(list, "Authorization", "x")
	}
	if r.OnlyIfCached {
		list = append(list, "Cache-Control", "only-if-cached")
	}
	return list
}

// ServeHTTP answers as an origin may. A validator of its own is as often confirmed as not.
func (o *modelled) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := model.Request{Method: req.Method, Path: req.URL.Path, Fields: map[string]string{}, Credentials: req.Header["Authorization"] != nil}
	for _, name := range []string{"X-A", "X-B"} {
		if lines := req.Header[name]; lines != nil {
			r.Fields[name] = lines[0]
		}
	}
	e := model.Exchange{Request: r, At: time.Now(), Response: o.g.Response(r, time.Now())}
	held, err := strconv.Atoi(strings.Trim(req.Header.Get("If-None-Match"), `"`))
	kept := o.cache.Held(r, time.Now(), 10*time.Minute)
	switch {
	case err == nil && o.g.Rand.IntN(2) == 0:
		e.Renews, e.Response.Status, e.Response.Location = held, http.StatusNotModified, ""
	case r.Method == "HEAD" && kept != 0 && o.g.Rand.IntN(2) == 0:
		e.Renews, e.Response.Serial, e.Response.Status, e.Response.LastModified = kept, kept, http.StatusOK, nil
	default:
		o.serial++
		e.Response.Serial = o.serial
	}
	if o.g.Rand.IntN(2) == 0 || e.Renews > 0 {
		tag := strconv.Quote(strconv.Itoa(max(e.Renews, e.Response.Serial)))
		e.Response.ETag = &tag
	}
	o.seen = append(o.seen, e)
	write(w, e.Response)
}

func write(w http.ResponseWriter, r model.Response) {
	h := w.Header()
	date := func(name string, t time.Time) { h.Set(name, t.UTC().Format(http.TimeFormat)) }
	date("Date", r.Date)
	if r.Age > 0 {
		h.Set("Age", strconv.Itoa(int(r.Age/time.Second)))
	}
	if r.Control != nil {
		h.Set("Cache-Control", control(*r.Control))
	}
	if r.Expires != nil {
		date("Expires", *r.Expires)
	}
	if r.LastModified != nil {
		date("Last-Modified", *r.LastModified)
	}
	if r.ETag != nil {
		h.Set("ETag", *r.ETag)
	}
	if len(r.Vary) > 0 {
		h.Set("Vary", strings.Join(r.Vary, ", "))
	}
	if r.SetCookie {
		h.Set("Set-Cookie", "a=1")
	}
	if r.Location != "" {
		h.Set("Location", r.Location)
	}
	if r.Status != http.StatusNotModified {
		h.Set("X-Serial", strconv.Itoa(r.Serial))
	}
	w.WriteHeader(r.Status)
}

func control(d model.Control) string {
	var list []string
	for name, given := range map[string]bool{
		"no-store": d.NoStore, "no-cache": d.NoCache, "private": d.Private, "public": d.Public, "must-revalidate": d.MustRevalidate,
	} {
		if given {
			list = append(list, name)
		}
	}
	for name, number := range map[string]*time.Duration{
		"max-age": d.MaxAge, "s-maxage": d.SMaxAge, "stale-while-revalidate": d.StaleWhileRevalidate,
		"stale-if-error": d.StaleIfError,
	} {
		if number != nil {
			list = append(list, name+"="+strconv.Itoa(int(*number/time.Second)))
		}
	}
	return strings.Join(list, ", ")
}

func controlled(d *model.Control) string {
	if d == nil {
		return "none"
	}
	return control(*d)
}
