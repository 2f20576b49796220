package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
)

// outcomes are the requests of one route by outcome, since the proxy started.
type outcomes map[string]float64

// scrape reads cacheproxy_requests_total of a route from the admin listener.
func scrape(ctx context.Context, client *http.Client, admin, route string) (outcomes, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics: %s", response.Status)
	}
	return parseOutcomes(response.Body, route)
}

var (
	// counterLine is a sample of the counter: its labels and its value.
	counterLine = regexp.MustCompile(`^cacheproxy_requests_total\{(.*)\}\s+(\S+)`)

	// label is one label; neither routes nor outcomes have characters that
	// would be escaped.
	label = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)
)

func parseOutcomes(text io.Reader, route string) (outcomes, error) {
	counts, found := outcomes{}, false
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		sample := counterLine.FindStringSubmatch(lines.Text())
		if sample == nil {
			continue
		}
		found = true
		labels := map[string]string{}
		for _, l := range label.FindAllStringSubmatch(sample[1], -1) {
			labels[l[1]] = l[2]
		}
		value, err := strconv.ParseFloat(sample[2], 64)
		if err != nil {
			return nil, fmt.Errorf("parse metrics: %q: %w", lines.Text(), err)
		}
		if labels["route"] == route {
			counts[labels["outcome"]] += value
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	if !found {
		return nil, errors.New("parse metrics: there is no cacheproxy_requests_total")
	}
	return counts, nil
}

// since returns what was counted after before.
func (o outcomes) since(before outcomes) outcomes {
	grown := outcomes{}
	for outcome, n := range o {
		if n > before[outcome] {
			grown[outcome] = n - before[outcome]
		}
	}
	return grown
}

// ratio is the share of one outcome in all requests, 0 without any.
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
