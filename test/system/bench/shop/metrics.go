package main

import (
	"context"
	"fmt"

	"cacheproxy/test/servers"
)

// outcomes are the requests of one route by outcome, since the proxy started.
type outcomes map[string]float64

// scrape reads cacheproxy_requests_total of a route.
func scrape(ctx context.Context, proxy *servers.Cacheproxy, route string) (outcomes, error) {
	all, err := proxy.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	counts := outcomes{}
	for _, m := range all["cacheproxy_requests_total"].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.Label {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["route"] == route {
			counts[labels["outcome"]] += m.Counter.GetValue() // over all classes of statuses
		}
	}
	if len(counts) == 0 {
		return nil, fmt.Errorf("read metrics: there is no cacheproxy_requests_total of route %s", route)
	}
	return counts, nil
}

// since returns the counts since before.
func (o outcomes) since(before outcomes) outcomes {
	grown := outcomes{}
	for outcome, n := range o {
		if n > before[outcome] {
			grown[outcome] = n - before[outcome]
		}
	}
	return grown
}

// ratio is the share of one outcome in all requests; 0 without requests.
func (o outcomes) ratio(outcome string) float64 {
	all := 0.0
	for _, n := range o {
		all += n
	}
	if all == 0 {
		return 0
	}
	return o[outcome] / all
}
