package observe

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// However many names strangers make up, those that many requests have are told apart, and their counts are true.
func TestSketchFindsTheFrequent(t *testing.T) {
	s, chance := &sketch{}, rand.New(rand.NewPCG(1, 2))
	var real [8]uint64
	const requests = 200_000
	for i := range requests {
		if n := chance.IntN(2 * len(real)); n < len(real) && i > requests/4 { // who comes first has no better place
			real[n]++
			s.add(fmt.Sprintf("X-Real-%d", n))
			continue
		}
		s.add(fmt.Sprintf("X-Junk-%d", i))
	}
	shown, other := s.read()
	total, found := other, 0
	for _, n := range shown {
		total += n.shown
		var i int
		if _, err := fmt.Sscanf(n.name, "X-Real-%d", &i); err == nil {
			found++
			if n.shown > real[i] || n.shown < real[i]*8/10 {
				t.Errorf("%s: %d of %d", n.name, n.shown, real[i])
			}
		}
	}
	if found != len(real) || len(s.names) > sketchSize {
		t.Errorf("found %d of %d: %+v", found, len(real), shown)
	}
	if total > requests {
		t.Errorf("%d of %d requests are counted", total, requests)
	}
}

// Whoever makes up names makes few series of them, also with as many requests for each as it takes, and none of a name that no label
// should have.
func TestSketchBoundsSeries(t *testing.T) {
	s, series := &sketch{}, map[string]bool{}
	for i := range 20_000 {
		for range 1 + i%40 {
			s.add(fmt.Sprintf("X-Junk-%d", i))
		}
		shown, _ := s.read()
		for _, n := range shown {
			if n.shown > 0 {
				series[n.name] = true
			}
		}
	}
	if most := sketchSize * 20; len(series) > most { // 400,000 requests are less than 2 to the 20th
		t.Errorf("%d series, more than %d", len(series), most)
	}
	before := len(s.names)
	odd := &sketch{}
	for _, name := range []string{"", "a b", "a\"b", "é", "a\n", strings.Repeat("a", 65), "(other)", "a=b", "%41"} {
		odd.add(name)
	}
	if shown, other := odd.read(); len(shown) != 0 || other != 9 || before > sketchSize {
		t.Errorf("%v, %d others", shown, other)
	}
}

// A series that is shown begins at one and only grows, until it ends.
func TestSketchCounts(t *testing.T) {
	s, chance := &sketch{}, rand.New(rand.NewPCG(3, 4))
	last := map[string]uint64{}
	var lastOther uint64
	for range 50_000 {
		s.add(fmt.Sprintf("n%d", int(chance.ExpFloat64()*40)))
		shown, other := s.read()
		now := map[string]uint64{}
		for _, n := range shown {
			now[n.name] = n.shown
			if last[n.name] == 0 && n.shown > 1 {
				t.Fatalf("%s begins at %d", n.name, n.shown)
			}
			if n.shown < last[n.name] {
				t.Fatalf("%s fell from %d to %d", n.name, last[n.name], n.shown)
			}
		}
		if other < lastOther {
			t.Fatalf("others fell from %d to %d", lastOther, other)
		}
		last, lastOther = now, other
	}
}

func TestBypassed(t *testing.T) {
	m := NewMetrics("v1")
	r := m.Route("product")
	for i := range leastSeen + 2 {
		r.Bypassed(KindHeader, []string{"X-A", "X-B"})
		r.Compared(KindHeader, []string{"X-A"}, i == 0)
	}
	r.Bypassed(KindCookie, []string{"sid", "né"})
	r.Bypassed("", nil)
	got := scrape(t, m)
	for _, line := range []string{
		`cacheproxy_bypassed_total{kind="header",name="X-A",route="product"} 3`,
		`cacheproxy_bypassed_total{kind="header",name="X-B",route="product"} 3`,
		`cacheproxy_bypassed_total{kind="header",name="(other)",route="product"} 18`,
		`cacheproxy_bypassed_total{kind="cookie",name="(other)",route="product"} 2`,
		`cacheproxy_bypassed_compared_total{kind="header",name="X-A",result="same",route="product"} 11`,
		`cacheproxy_bypassed_compared_total{kind="header",name="X-A",result="differed",route="product"} 1`,
	} {
		if !strings.Contains(got, line) {
			t.Errorf("lacks %s", line)
		}
	}
	if want := "[{cookie sid 1 0 0} {header X-A 12 11 1} {header X-B 12 0 0}]"; fmt.Sprint(r.Bypasses()) != want {
		t.Errorf("%v", r.Bypasses())
	}
	m.RemoveRoute("product")
	if strings.Contains(scrape(t, m), "cacheproxy_bypassed") {
		t.Error("a removed route is still there")
	}
}
