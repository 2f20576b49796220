package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// reply is what a client notices of an answer.
type reply struct {
	status int
	header http.Header
	body   string
}

// tally is what came of all questions.
type tally struct {
	answers, copies int
	differ          []string
	added, missing  map[string]int // fields, by their names
}

// compare asks the API and the proxy every question, and prints what differed. Of writes only the proxy hears.
func compare(api, proxy string) error {
	t := tally{added: map[string]int{}, missing: map[string]int{}}
	for _, q := range questions() {
		through, err := q.ask(proxy)
		if err != nil {
			return err
		}
		if q.method == http.MethodPut {
			continue
		}
		direct, err := q.ask(api)
		if err != nil {
			return err
		}
		t.add(q, direct, through)
	}
	fmt.Printf("%d answers through the proxy, beside those of the API itself\ndiffer: %d\n", t.answers, len(t.differ))
	for _, d := range t.differ[:min(len(t.differ), 5)] {
		fmt.Println(" ", d)
	}
	fmt.Printf("fields added: %s\nfields missing: %s\nfrom copies: %d\n", counts(t.added), counts(t.missing), t.copies)
	return nil
}

func (q question) ask(server string) (reply, error) {
	r, err := http.NewRequest(q.method, server+q.target, strings.NewReader(q.body))
	if err != nil {
		return reply{}, fmt.Errorf("make request: %w", err)
	}
	r.Header, r.Host = q.header, "shop.example"
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return reply{}, fmt.Errorf("ask %s %s: %w", q.method, r.URL, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, fmt.Errorf("read answer to %s %s: %w", q.method, r.URL, err)
	}
	return reply{response.StatusCode, response.Header, string(body)}, nil
}

// add compares two answers. Dates are those of the moment.
func (t *tally) add(q question, direct, through reply) {
	t.answers++
	if strings.Contains(through.header.Get("Cache-Status"), "; hit") {
		t.copies++
	}
	what := ""
	switch {
	case direct.status != through.status:
		what = fmt.Sprintf("status %d instead of %d", through.status, direct.status)
	case direct.body != through.body:
		what = "body"
	}
	for name, values := range through.header {
		switch has := direct.header.Values(name); {
		case len(has) == 0:
			t.added[name]++
		case name != "Date" && !slices.Equal(has, values):
			what = "field " + name
		}
	}
	for name := range direct.header {
		if len(through.header.Values(name)) == 0 {
			t.missing[name]++
		}
	}
	if what != "" {
		t.differ = append(t.differ, fmt.Sprintf("%d to %s %s: %s", direct.status, q.method, q.target, what))
	}
}

func counts(of map[string]int) string {
	if len(of) == 0 {
		return "none"
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		all = append(all, fmt.Sprintf("%s (%d)", name, of[name]))
	}
	return strings.Join(all, ", ")
}
