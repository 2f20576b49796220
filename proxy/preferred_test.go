package proxy

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

const (
	pageAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	pageForm   = "text/html, */*;q=0.1"
)

// tellsPreferences answers with what it was told that the client prefers, and says what the header vary of the URL says.
func tellsPreferences(asked *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=600")
		if vary := strings.Trim(r.URL.Path, "/"); vary != "" {
			w.Header().Set("Vary", vary)
		}
		fmt.Fprintf(w, "%q %q %q", r.Header["Accept"], r.Header["Accept-Charset"], r.Header["Accept-Language"])
	}
}

// An API chooses by what clients prefer. What each request gets, and how often the API is asked, with and without a word of it in Vary.
func TestPreferences(t *testing.T) {
	type read struct {
		path   string
		header []string
		body   string
		cache  string
	}
	lang := func(v string) []string { return []string{"Accept-Language", v} }
	accept := func(v string) []string { return []string{"Accept", v} }
	for name, c := range map[string]struct {
		route func(*policy.Route)
		reads []read
		asked int64 // of the API
	}{
		"without Vary": {reads: []read{
			{"/", nil, `[] [] []`, "fwd=uri-miss"},
			{"/", lang("de-DE,de;q=0.9,en;q=0.8"), `[] [] ["de-DE"]`, "fwd=vary-miss"},
			{"/", lang("en;q=0.1, DE-de"), `[] [] ["de-DE"]`, "; hit"},
			{"/", lang("fr"), `[] [] ["fr"]`, "fwd=vary-miss"},
			{"/", lang("de-DE"), `[] [] ["de-DE"]`, "; hit"},
			{"/", accept(pageAccept), `["` + pageForm + `"] [] []`, "fwd=vary-miss"},
			{"/", accept("text/html;q=0.9, */*;q=0.01"), `["` + pageForm + `"] [] []`, "; hit"},
			{"/", accept("text/html"), `["text/html"] [] []`, "fwd=vary-miss"},
			{"/", []string{"Accept-Charset", "UTF-8, *;q=0.1"}, `[] ["utf-8"] []`, "fwd=vary-miss"},
			{"/", nil, `[] [] []`, "; hit"},
		}, asked: 6},
		"what cannot be read is what is absent": {reads: []read{
			{"/", nil, `[] [] []`, "fwd=uri-miss"},
			{"/", lang(""), `[] [] []`, "; hit"},
			{"/", lang("de en;q=x"), `[] [] []`, "; hit"},
			{"/", lang(strings.Repeat("de,", 1000)), `[] [] []`, "; hit"},
			{"/", accept("text/html;q=0"), `[] [] []`, "; hit"},
			{"/", accept("/"), `[] [] []`, "; hit"},
		}, asked: 1},
		"Vary names the language": {reads: []read{
			{"/Accept-Language", lang("de-DE,de;q=0.9"), `[] [] ["de-DE,de;q=0.9"]`, "fwd=uri-miss"}, // asked twice
			{"/Accept-Language", lang("de;q=0.9, de-de"), `[] [] ["de-DE,de;q=0.9"]`, "; hit"},
			{"/Accept-Language", lang("de-DE,en;q=0.9"), `[] [] ["de-DE,en;q=0.9"]`, "fwd=vary-miss"},
			{"/Accept-Language", lang("fr,en;q=0.9"), `[] [] ["fr,en;q=0.9"]`, "fwd=vary-miss"},
			{"/Accept-Language", append(accept(pageAccept), lang("fr,en;q=0.9")...), `["` + pageForm + `"] [] ["fr,en;q=0.9"]`, "fwd=vary-miss"},
		}, asked: 5},
		"Vary names what came in its short form": {reads: []read{
			{"/Accept-Language", lang("de"), `[] [] ["de"]`, "fwd=uri-miss"},
			{"/Accept-Language", lang("de"), `[] [] ["de"]`, "; hit"},
			{"/Accept-Language", lang("de, en;q=0.1"), `[] [] ["de, en;q=0.1"]`, "fwd=vary-miss"},
		}, asked: 2},
		"ignored": {route: func(r *policy.Route) { r.IgnoreHeaders = []string{"Accept*"} }, reads: []read{
			{"/", lang("de"), `[] [] []`, "fwd=uri-miss"},
			{"/", append(accept(pageAccept), lang("fr")...), `[] [] []`, "; hit"},
		}, asked: 1},
		"one ignored": {route: func(r *policy.Route) { r.IgnoreHeaders = []string{"Accept-Language"} }, reads: []read{
			{"/", append(accept("a/b"), lang("de")...), `["a/b"] [] []`, "fwd=uri-miss"},
			{"/", append(accept("a/b"), lang("fr")...), `["a/b"] [] []`, "; hit"},
			{"/", append(accept("c/d"), lang("fr")...), `["c/d"] [] []`, "fwd=vary-miss"},
		}, asked: 2},
		"keyed": {route: func(r *policy.Route) { r.Headers = []string{"Accept-Language"} }, reads: []read{
			{"/", lang("de, en;q=0.1"), `[] [] ["de, en;q=0.1"]`, "fwd=uri-miss"},
			{"/", lang("de"), `[] [] ["de"]`, "fwd=uri-miss"},
		}, asked: 2},
		"all forwarded": {route: func(r *policy.Route) { r.ForwardHeaders = policy.ForwardAll }, reads: []read{
			{"/", lang("de, en;q=0.1"), `[] [] ["de, en;q=0.1"]`, "fwd=uri-miss"},
			{"/", lang("fr"), `[] [] ["de, en;q=0.1"]`, "; hit"},
		}, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			inBubble(t, tellsPreferences(&asked), rigOptions{}, routeFor(t, "all", c.route, "/"), func(b *bubble) {
				for i, r := range c.reads {
					b.do("GET", r.path, r.header...).want(t, fmt.Sprint("read ", i), 200, r.body, r.cache)
				}
				if n := asked.Load(); n != c.asked {
					t.Errorf("the origin was asked %d times, want %d", n, c.asked)
				}
			})
		})
	}
}

// The invariant: whatever clients say, in whatever order, and whether or not the API says Vary, an answer goes by what its client said, or by
// what that prefers most.
func TestAnswersGoByWhatTheirClientPrefers(t *testing.T) {
	values := map[string][]string{
		"Accept":          {"", pageAccept, "text/html", "a/b, c/d;q=0.1", "c/d, a/b;q=0.9", "*/*", "junk, ,;q=2", strings.Repeat("a/b, ", 400)},
		"Accept-Charset":  {"", "utf-8", "UTF-8, a;q=0.1"},
		"Accept-Language": {"", "de", "de, en;q=0.1", "en;q=0.1, de", "fr, de;q=0.1", "de en"},
	}
	for _, change := range []func(*policy.Route){nil, func(r *policy.Route) { r.Compression = httpcache.Gzip }, func(r *policy.Route) { r.Range = policy.RangePart }} {
		random := rand.New(rand.NewPCG(1, 2))
		var asked atomic.Int64
		origin := func(w http.ResponseWriter, r *http.Request) {
			if random.IntN(3) == 0 {
				w.Header().Set("Vary", [...]string{"Accept", "Accept-Language", "Accept-Charset, Accept", "X-Other", "*"}[random.IntN(5)])
			}
			tellsPreferences(&asked)(w, r)
		}
		inBubble(t, origin, rigOptions{}, routeFor(t, "all", change, "/"), func(b *bubble) {
			for range unlessRace(2000) {
				h := http.Header{}
				var header, short []string
				for _, name := range []string{"Accept", "Accept-Charset", "Accept-Language"} {
					var lines []string
					if v := values[name][random.IntN(len(values[name]))]; v != "" {
						h.Set(name, v)
						header = append(header, name, v)
					}
					if v := string(httpcache.AppendPreferred(nil, name, h[name])); v != "" {
						lines = []string{v}
					}
					short = append(short, fmt.Sprintf("%q", lines))
				}
				body := b.do("GET", "/", header...).body
				got := strings.Split(body, "] [")
				if len(got) != 3 {
					t.Fatalf("%v: %q", h, body)
				}
				for i, name := range []string{"Accept", "Accept-Charset", "Accept-Language"} {
					told := "[" + strings.Trim(got[i], "[]") + "]"
					if told != short[i] && told != fmt.Sprintf("%q", h[name]) && !meansSame(name, told, h[name]) {
						t.Fatalf("%s of %q was answered %s", name, h[name], told)
					}
				}
				b.pass(time.Duration(random.IntN(100)) * time.Second)
			}
		})
	}
}

// meansSame reports whether what the origin was told of a field, as tellsPreferences prints it, selects what the lines select.
func meansSame(name, told string, lines []string) bool {
	value, err := strconv.Unquote(strings.Trim(told, "[]"))
	return err == nil && httpcache.VaryMatch([]string{name}, http.Header{name: {value}}, http.Header{name: lines})
}

// An API that has none of what is preferred most refuses (RFC 9110 §15.5.7). It is asked for the rest, and its answer is for those who ask
// the same.
func TestRefusedPreference(t *testing.T) {
	var asked atomic.Int64
	origin := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !strings.Contains(r.Header.Get("Accept"), "json") {
			w.WriteHeader(http.StatusNotAcceptable)
			return
		}
		io.WriteString(w, r.Header.Get("Accept"))
	}
	inBubble(t, origin, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.TTL = time.Minute }, "/"), func(b *bubble) {
		both, other := "application/xml, application/json;q=0.5", "application/xml, application/json;q=0.1"
		b.do("GET", "/a", "Accept", both).want(t, "refused and asked again", 200, both, "stored")
		b.do("GET", "/a", "Accept", both).want(t, "from the copy", 200, both, "; hit")
		b.do("GET", "/a", "Accept", other).want(t, "another", 200, other, "stored")
		b.do("GET", "/a", "Accept", "application/xml").want(t, "nothing else will do", 406, "", "fwd-status=406")
		b.do("GET", "/b", "Accept", "application/json, a/b;q=0.1").want(t, "another URL is not asked for more", 200, "application/json", "stored")
		if n := asked.Load(); n != 5 {
			t.Errorf("the origin was asked %d times, want 5", n)
		}
	})
}

// What is not to be shared is asked for once each time, as soon as it is known that the API goes by more than is preferred most.
func TestUnsharedPreferenceIsAskedForOnce(t *testing.T) {
	var asked atomic.Int64
	origin := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Vary", "*")
		io.WriteString(w, r.Header.Get("Accept-Language"))
	}
	inBubble(t, origin, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.TTL = time.Minute }, "/"), func(b *bubble) {
		for i := range 5 {
			b.do("GET", "/a", "Accept-Language", "de, en;q=0.1").want(t, fmt.Sprint(i), 200, "de, en;q=0.1", "fwd=")
			synctest.Wait()
		}
		if n := asked.Load(); n != 6 {
			t.Errorf("the origin was asked %d times, want 6", n)
		}
	})
}

// Requests that prefer the same wait for one fetch; others ask for themselves, also while the first is under way.
func TestPreferencesAreFetchedApart(t *testing.T) {
	var asked atomic.Int64
	origin := func(w http.ResponseWriter, r *http.Request) {
		<-time.After(time.Second)
		tellsPreferences(&asked)(w, r)
	}
	inBubble(t, origin, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				tag := fmt.Sprintf("l%d", i%4)
				b.do("GET", "/", "Accept-Language", fmt.Sprintf("%s, x%d;q=0.5", tag, i)).want(t, "the herd", 200, `[] [] ["`+tag+`"]`, "fwd=")
			})
		}
		all.Wait()
		if n := asked.Load(); n != 4 {
			t.Errorf("the origin was asked %d times, want 4", n)
		}
	})
}

// A purge of the URL ends all of its variants, a HEAD and a range are answered from their own, and so is a condition.
func TestPreferencesOfOneURL(t *testing.T) {
	var asked atomic.Int64
	route := func(r *policy.Route) { r.Key = template(t, "a") }
	inBubble(t, tellsPreferences(&asked), rigOptions{}, routeFor(t, "all", route, "/"), func(b *bubble) {
		tags := []string{"de", "fr", "it"}
		each := func(what, method, body, cache string, status int, header ...string) {
			t.Helper()
			for _, tag := range tags {
				b.do(method, "/", append([]string{"Accept-Language", tag + ", en;q=0.1"}, header...)...).want(t, what+" "+tag, status, strings.ReplaceAll(body, "TAG", tag), cache)
			}
		}
		each("fill", "GET", `[] [] ["TAG"]`, "stored", 200)
		each("HEAD", "HEAD", "", "; hit", 200)
		each("range", "GET", `TAG`, "; hit", 206, "Range", "bytes=8-9")
		b.invalidate(key("a"))
		each("purged", "GET", `[] [] ["TAG"]`, "detail=purged", 200)
		each("again", "GET", `[] [] ["TAG"]`, "; hit", 200)
		b.do("PUT", "/")
		each("written", "GET", `[] [] ["TAG"]`, "detail=purged", 200)
		if n := asked.Load(); n != 10 {
			t.Errorf("the origin was asked %d times, want 10", n)
		}
	})
}

// A copy is confirmed by what was asked when it was fetched.
func TestPreferredCopyIsConfirmed(t *testing.T) {
	var asked atomic.Int64
	origin := func(w http.ResponseWriter, r *http.Request) {
		etag := `"` + r.Header.Get("Accept-Language") + `"`
		w.Header().Set("Cache-Control", "max-age=10")
		w.Header().Set("ETag", etag)
		if asked.Add(1); r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, r.Header.Get("Accept-Language"))
	}
	inBubble(t, origin, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		for _, tag := range []string{"de", "fr"} {
			b.do("GET", "/", "Accept-Language", tag+", en;q=0.1").want(t, "fill", 200, tag, "stored")
		}
		b.pass(11 * time.Second)
		for _, tag := range []string{"de", "fr"} {
			b.do("GET", "/", "Accept-Language", tag+", nl;q=0.2").want(t, "confirmed", 200, tag, "fwd=stale; fwd-status=304")
			b.do("GET", "/", "Accept-Language", tag).want(t, "and read", 200, tag, "; hit")
			b.do("GET", "/", "Accept-Language", tag, "If-None-Match", `"`+tag+`"`).want(t, "on a condition", 304, "", "; hit")
		}
	})
}

// The answer to a write is a copy for those who prefer what it was asked with, and for nobody else.
func TestKeptWriteIsForItsPreference(t *testing.T) {
	origin := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Content-Location", r.URL.Path)
		fmt.Fprint(w, r.Method, " ", r.Header.Get("Accept-Language"))
	}
	route := func(r *policy.Route) { r.Policy, r.OnWrite = policy.WriteThrough, policy.OnWriteStore }
	inBubble(t, origin, rigOptions{}, routeFor(t, "all", route, "/"), func(b *bubble) {
		b.do("PUT", "/a", "Accept-Language", "de")
		synctest.Wait()
		b.do("GET", "/a", "Accept-Language", "de, en;q=0.1").want(t, "who prefers the same", 200, "PUT de", "; hit")
		b.do("GET", "/a", "Accept-Language", "fr").want(t, "who does not", 200, "GET fr", "fwd=vary-miss")
		b.do("PUT", "/b", "Accept-Language", "de, en;q=0.1")
		synctest.Wait()
		b.do("GET", "/b", "Accept-Language", "de").want(t, "the API was told more than a fill tells it", 200, "GET de", "fwd=uri-miss")
	})
}

// An observed route compares with the copy of those who prefer the same, and tells where the rest of a field chooses the answer.
func TestObservedPreferences(t *testing.T) {
	var asked atomic.Int64
	inBubble(t, tellsPreferences(&asked), rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Mode = policy.Observe }, "/"), func(b *bubble) {
		for _, value := range []string{"de", "fr", "de", "fr", "de, en;q=0.1"} {
			b.do("GET", "/", "Accept-Language", value).want(t, value, 200, `[] [] ["`+value+`"]`, "fwd=")
			synctest.Wait()
		}
		for outcome, want := range map[string]int{"would_hit": 2, "would_differ": 1, "would_miss": 2} {
			if got := count(t, b.metrics, "cacheproxy_requests_total", outcome); got != want {
				t.Errorf("%s: %v, want %v", outcome, got, want)
			}
		}
	})
}

// A client that makes up languages displaces what it has made up, and not what is read.
func TestPreferencesOfOneURLAreBounded(t *testing.T) {
	var asked atomic.Int64
	inBubble(t, tellsPreferences(&asked), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		read := func(value, cache string) {
			t.Helper()
			b.do("GET", "/", "Accept-Language", value).want(t, value, 200, `[] [] ["`+value+`"]`, cache)
		}
		read("de", "stored")
		for i := range 500 {
			read("de", "; hit")
			read(fmt.Sprintf("x%d", i), "stored")
		}
		synctest.Wait()
		if n := b.store.Memory().Entries(); n > 64+1 { // and the list of them
			t.Errorf("%d entries", n)
		}
	})
}

// Instances share copies of those who prefer the same, with one look below memory, and bound them each for itself.
func TestPreferencesOfAFleet(t *testing.T) {
	var asked atomic.Int64
	inBubble(t, tellsPreferences(&asked), rigOptions{below: []store.Tier{&copies{}}}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		for _, tag := range []string{"de", "fr"} {
			b.do("GET", "/", "Accept-Language", tag+", en;q=0.1").want(t, "fill", 200, `[] [] ["`+tag+`"]`, "stored")
		}
		synctest.Wait()
		other := b.another()
		for _, tag := range []string{"fr", "de"} {
			other.do("GET", "/", "Accept-Language", tag+", nl;q=0.1").want(t, "another instance", 200, `[] [] ["`+tag+`"]`, "; hit")
		}
		other.do("GET", "/", "Accept-Language", "it").want(t, "what none has", 200, `[] [] ["it"]`, "fwd=vary-miss")
		for i := range 200 {
			b.do("GET", "/", "Accept-Language", fmt.Sprintf("x%d", i))
			synctest.Wait()
			other.do("GET", "/", "Accept-Language", fmt.Sprintf("x%d", i)).want(t, "made up", 200, "*", "; hit")
		}
		if n := other.store.Memory().Entries(); n > 64+1 { // and the list of them
			t.Errorf("%d entries", n)
		}
		if n := asked.Load(); n != 203 {
			t.Errorf("the origin was asked %d times, want 203", n)
		}
	})
}

// Copies that keep coming out the same are told, by the field, and those that do not.
func TestPreferencesThatChangeNothing(t *testing.T) {
	origin := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Vary", "Accept-Encoding")
		w.Header().Set("Content-Type", r.Header.Get("Accept"))
		io.WriteString(w, "body")
	}
	inBubble(t, origin, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		for _, path := range []string{"/a", "/b"} {
			for _, accept := range []string{"text/html", "application/json"} {
				for _, tag := range []string{"de", "fr", "it"} {
					b.do("GET", path, "Accept", accept, "Accept-Language", tag, "Accept-Encoding", "br")
				}
			}
		}
		b.do("GET", "/a", "Accept", "application/json", "Accept-Language", "it", "Accept-Encoding", "br").want(t, "a hit is no pair", 200, "body", "; hit")
		synctest.Wait()
		e, err := b.proxy.Explain("GET", "http://example.com/a", http.Header{"Accept": {pageAccept}, "Accept-Language": {"de, en;q=0.1"}})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(e.Prefers, "|"), "Accept: "+pageForm+"|Accept-Language: de"; got != want {
			t.Errorf("explain says %q, want %q", got, want)
		}
		// Of each path three pairs for each of two types differ in the language alone, and three in the type alone.
		if got, want := strings.Join(e.Compared, "|"), "Accept: 6 pairs, 6 differed|Accept-Language: 12 pairs, 0 differed: a candidate for ignore_headers"; got != want {
			t.Errorf("explain says %q, want %q", got, want)
		}
		if got := count(t, b.metrics, "cacheproxy_variants_compared_total", "Accept-Language"); got != 12 {
			t.Errorf("counted %v", got)
		}
	})
}

// Another query of a path answers one that its No-Vary-Search makes alike, for those who prefer the same.
func TestPreferencesOfQueriesThatAreAlike(t *testing.T) {
	origin := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set(httpcache.NoVarySearch, `params=("a")`)
		io.WriteString(w, r.Header.Get("Accept-Language"))
	}
	route := func(r *policy.Route) { r.Query.Unlisted = policy.UnlistedKey }
	inBubble(t, origin, rigOptions{origin: upstream.Options{}}, routeFor(t, "all", route, "/"), func(b *bubble) {
		b.do("GET", "/?a=1", "Accept-Language", "de").want(t, "fill", 200, "de", "stored")
		b.do("GET", "/?a=2", "Accept-Language", "de, en;q=0.1").want(t, "alike", 200, "de", "; hit")
		b.do("GET", "/?a=2", "Accept-Language", "fr").want(t, "not alike", 200, "fr", "stored")
	})
}
