package policy

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"
)

func TestPreferences(t *testing.T) {
	for _, tt := range []struct {
		about string
		route Route
		want  []string
	}{
		{"as usual (RFC 9110 §12.5)", Route{}, []string{"Accept", "Accept-Charset", "Accept-Language"}},
		{"one is keyed", Route{Headers: []string{"Accept"}}, []string{"Accept-Charset", "Accept-Language"}},
		{"one is ignored", Route{IgnoreHeaders: []string{"Accept-Language"}}, []string{"Accept", "Accept-Charset"}},
		{"all are", Route{IgnoreHeaders: []string{"Accept*"}}, nil},
		{"Vary alone names what matters (§12.5.5)", Route{ForwardHeaders: ForwardAll}, nil},
	} {
		p := PreferencesOf(&tt.route)
		if !slices.Equal(p, tt.want) {
			t.Errorf("%s: %v, want %v", tt.about, p, tt.want)
		}
		seen := map[string]string{}
		for _, accept := range []string{"", "a/b", "a/b;q=0.1", "c/d", "c/d;p=" + strings.Repeat("x", 200)} {
			for _, language := range []string{"", "de", "a/b"} {
				h := http.Header{}
				for name, v := range map[string]string{"Accept": accept, "Accept-Language": language} {
					if v != "" {
						h.Set(name, v)
					}
				}
				text := string(p.AppendTo([]byte("key"), h))[len("key"):]
				var want []string
				for _, name := range p {
					want = append(want, string(httpcache.AppendPreferred(nil, name, h[name])))
				}
				if got := p.Split(text); !slices.Equal(got, want) {
					t.Errorf("%s: %v is %q, and that is %q", tt.about, h, text, got)
				}
				if form := strings.Join(want, "\x00"); seen[text] != "" && seen[text] != form {
					t.Errorf("%s: %q and %q are both %q", tt.about, seen[text], form, text)
				} else {
					seen[text] = form
				}
			}
		}
	}
	p := PreferencesOf(&Route{})
	for _, text := range []string{"x", "\x00\x00", "\x00\x00\x00\x00", "\x00\x00\x05abc", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if got := p.Split(text); got != nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestPreferencesWhole(t *testing.T) {
	p := PreferencesOf(&Route{})
	short, whole := header("Accept: a/b", "Accept-Language: de"), header("Accept: a/b, c/d;q=0.1", "Accept-Language: de")
	for _, tt := range []struct {
		about  string
		status int
		vary   string
		named  string
		again  bool
	}{
		{"it goes by what it was told", 200, "", "", false},
		{"Vary names a field of which it was told less (RFC 9110 §12.5.5)", 200, "accept", "Accept", true},
		{"among others", 404, "X, Accept, Accept-Language", "Accept", true},
		{"Vary names one of which it was told all", 200, "Accept-Language", "", false},
		{"Vary: * (§12.5.5)", 200, "*", "", true},
		{"none of what is preferred most (§15.5.7)", 406, "", "", true},
		{"it has the client choose (§15.4.1)", 300, "", "", true},
		{"it fails", 503, "Accept", "", false},
	} {
		h := http.Header{}
		if tt.vary != "" {
			h.Set("Vary", tt.vary)
		}
		asCame := func() http.Header { return whole }
		named, again := p.Whole(short, asCame, tt.status, h)
		if strings.Join(named, ", ") != tt.named || again != tt.again {
			t.Errorf("%s: %v, %v", tt.about, named, again)
		}
		if named, again := p.Whole(whole, asCame, tt.status, h); named != nil || again {
			t.Errorf("%s, told all: %v, %v", tt.about, named, again)
		}
	}
	if got := p.Told([]string{"Accept", "Accept-Encoding", "X-Lang"}, header("Vary: x-lang")); !slices.Equal(got, []string{"Accept-Encoding", "X-Lang"}) {
		t.Errorf("told by another: %v", got)
	}
	if got := p.Told([]string{"Accept"}, header("Vary: x, accept")); !slices.Equal(got, []string{"Accept"}) {
		t.Errorf("told by Vary: %v", got)
	}
}

// What the origin was told is in the key, or in the variant.
func TestVariantOfWhatTheOriginWasTold(t *testing.T) {
	client := header("Accept: text/html, */*;q=0.8", "Accept-Language: de-de, en;q=0.5", "Accept-Charset: ;")
	for _, tt := range []struct {
		about    string
		selected []string
		told     http.Header
		vary     string // of the copy
	}{
		{"the short forms", nil, header("Accept: text/html, */*;q=0.1", "Accept-Language: de-DE"), ""},
		{"one whole, as Vary has it", []string{"Accept-Language"}, header("Accept: text/html, */*;q=0.1", "Accept-Language: de-de, en;q=0.5"), "Accept-Language"},
		{"what cannot be read is told whole", []string{"Accept-Charset"}, header("Accept: text/html, */*;q=0.1", "Accept-Language: de-DE", "Accept-Charset: ;"), "Accept-Charset"},
	} {
		r := &Route{Caches: true, TTL: 60e9}
		fill := r.FillHeader(client, tt.selected)
		for _, name := range []string{"Accept", "Accept-Charset", "Accept-Language"} {
			if !slices.Equal(fill[name], tt.told[name]) {
				t.Errorf("%s: %s: %q, want %q", tt.about, name, fill[name], tt.told[name])
			}
		}
		v := r.Judge(Fetch{Method: "GET", Status: 200, Header: http.Header{}, BodyLength: 1, Forwarded: fill})
		if got := strings.Join(v.Vary, ", "); !v.Store || got != tt.vary {
			t.Errorf("%s: stored %v by %q, want %q", tt.about, v.Store, got, tt.vary)
		}
	}
}

// What a fill tells whole, because Vary is known to name it, selects its copy also where it is its own short form, or absent. What keys
// have nothing of, or all, does not.
func TestVariantOfWhatIsKnownToSelect(t *testing.T) {
	known := []string{"Accept", "Accept-Language"}
	for _, tt := range []struct {
		route  Route
		client []string
		vary   string
	}{
		{Route{}, []string{"Accept: text/html", "Accept-Language: de"}, "Accept, Accept-Language"},
		{Route{}, []string{"Accept-Language: de"}, "Accept, Accept-Language"},
		{Route{}, nil, "Accept, Accept-Language"},
		{Route{IgnoreHeaders: []string{"Accept"}}, []string{"Accept: a/b"}, "Accept-Language"},
		{Route{Headers: []string{"Accept-Language"}}, []string{"Accept-Language: de"}, "Accept"},
		{Route{ForwardHeaders: ForwardAll}, []string{"Accept-Language: de"}, ""},
	} {
		tt.route.Caches, tt.route.TTL = true, 60e9
		fill := tt.route.FillHeader(header(tt.client...), known)
		v := tt.route.Judge(Fetch{Method: "GET", Status: 200, Header: http.Header{}, BodyLength: 1, Forwarded: fill, Selected: known})
		if got := strings.Join(v.Vary, ", "); !v.Store || got != tt.vary {
			t.Errorf("%q: stored %v by %q, want %q", tt.client, v.Store, got, tt.vary)
		}
	}
}

// An origin that refuses what a client prefers has looked at all that it accepts: its answer is for nobody who accepts anything else.
func TestRefusedPreferenceIsNotForOthers(t *testing.T) {
	all := "Accept, Accept-Charset, Accept-Language"
	for _, tt := range []struct {
		about  string
		route  Route
		status int
		vary   string
		store  bool
		by     string
	}{
		{"none of what is preferred (RFC 9110 §15.5.7)", Route{}, 406, "", false, ""},
		{"the client is to choose (§15.4.1)", Route{}, 300, "", false, ""},
		{"Vary names another field", Route{}, 406, "X-Lang", false, ""},
		{"Vary names the field (§12.5.5)", Route{}, 406, "Accept", true, all},
		{"Vary is known to name one", Route{Name: "known"}, 406, "", true, all},
		{"of those that the route leaves", Route{IgnoreHeaders: []string{"Accept-Charset"}}, 406, "Accept-Language", true, "Accept, Accept-Language"},
		{"not one of these", Route{IgnoreHeaders: []string{"Accept-Charset"}}, 406, "Accept-Charset", false, ""},
		{"keys have all of it", Route{Headers: []string{"Accept", "Accept-Charset", "Accept-Language"}}, 406, "", true, ""},
		{"keys have nothing of it", Route{IgnoreHeaders: []string{"Accept*"}}, 406, "", true, ""},
		{"Vary alone names what matters", Route{ForwardHeaders: ForwardAll}, 406, "", true, ""},
		{"another error", Route{}, 404, "", true, ""},
	} {
		tt.route.Caches = true
		answer := header("Cache-Control: max-age=60")
		if tt.vary != "" {
			answer.Set("Vary", tt.vary)
		}
		var known []string
		if tt.route.Name != "" {
			known = []string{"Accept-Language"}
		}
		fill := tt.route.FillHeader(header("Accept: text/html"), known)
		v := tt.route.Judge(Fetch{Method: "GET", Status: tt.status, Header: answer, BodyLength: 1, Forwarded: fill, Selected: known})
		if got := strings.Join(v.Vary, ", "); v.Store != tt.store || v.Share != tt.store || got != tt.by {
			t.Errorf("%s: stored %v, shared %v by %q, want %v by %q", tt.about, v.Store, v.Share, got, tt.store, tt.by)
		}
	}
}
