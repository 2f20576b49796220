package attack

import (
	"fmt"
	"testing"
	"time"
)

// atRest are the gauges that have to be at zero when nobody asks, by label values that are summed up.
var atRest = []string{"cacheproxy_origin_in_flight", "cacheproxy_origin_queued", "cacheproxy_origin_streams"}

// What a proxy may have more of after an attack than before: connections to the API and to Valkey that are kept, and copies.
const (
	moreGoroutines = 80
	moreMemory     = 192 << 20
)

// use is what a proxy uses when it is at rest.
type use struct{ goroutines, memory float64 }

// rest is what each proxy uses now.
func (g *target) rest(t *testing.T) (all []use) {
	t.Helper()
	for i := range g.proxies {
		all = append(all, use{g.sum(t, i, "go_goroutines"), g.sum(t, i, "process_resident_memory_bytes")})
	}
	return all
}

// sum is the sum of a gauge over its labels.
func (g *target) sum(t *testing.T, proxy int, name string) (sum float64) {
	t.Helper()
	families, err := g.proxies[proxy].Metrics(t.Context())
	if err != nil {
		g.find.add("rest", "", fmt.Sprintf("no metrics of proxy %d: %v", proxy, err))
		return 0
	}
	if families[name] == nil {
		g.find.add("rest", "", fmt.Sprintf("proxy %d has no metric %s", proxy, name))
		return 0
	}
	for _, m := range families[name].GetMetric() {
		sum += m.GetGauge().GetValue()
	}
	return sum
}

// settle waits until everything is at rest again, and says what does not come to it.
func (g *target) settle(t *testing.T, before []use) {
	t.Helper()
	for end := time.Now().Add(patience); ; pause(200 * time.Millisecond) {
		what := ""
		for i := range g.proxies {
			for _, name := range atRest {
				if v := g.sum(t, i, name); v != 0 {
					what += fmt.Sprintf("; proxy %d: %s is %v", i, name, v)
				}
			}
			if v := g.sum(t, i, "go_goroutines"); v > before[i].goroutines+moreGoroutines {
				what += fmt.Sprintf("; proxy %d: %v goroutines, before %v", i, v, before[i].goroutines)
			}
			if v := g.sum(t, i, "process_resident_memory_bytes"); v > before[i].memory+moreMemory {
				what += fmt.Sprintf("; proxy %d: %v bytes, before %v", i, v, before[i].memory)
			}
		}
		if what == "" {
			return
		}
		if time.Now().After(end) {
			g.find.add("rest", "", what[2:])
			return
		}
	}
}
