package main

import (
	"strings"
	"testing"
)

const wrkOutput = `Running 1s test @ http://127.0.0.1:40001
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.51ms    1.07ms  26.27ms   94.70%
  43210 requests in 1.01s, 100.00MB read
Requests/sec:  42782.18
wrk {"requests":43210,"microseconds":1010000,"bytes":104857600,"connect":1,"read":2,"write":3,"status":4,"timeout":5}
`

func TestParseTraffic(t *testing.T) {
	got, err := parseTraffic([]byte(wrkOutput))
	want := traffic{Requests: 43210, Microseconds: 1010000, Bytes: 104857600, Connect: 1, Read: 2, Write: 3, Status: 4, Timeout: 5}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if rate := got.perSecond(); rate < 42782 || rate > 42783 {
		t.Errorf("%v requests/s, want 42782.18", rate)
	}
	for _, text := range []string{"", "unable to connect to 127.0.0.1:1 Connection refused\n", "wrk {\n", `wrk {"requests":1}` + "\n"} {
		if got, err := parseTraffic([]byte(text)); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}

func TestTrafficThatWentWrongIsNoFigure(t *testing.T) {
	for _, c := range []struct {
		traffic traffic
		wrong   bool
	}{
		{traffic{Requests: 10_000}, false},
		{traffic{Requests: 10_000, Read: 10}, false},
		{traffic{Requests: 10_000, Read: 11}, true},
		{traffic{Requests: 10_000, Status: 5, Timeout: 6}, true},
		{traffic{}, true},
	} {
		if err := c.traffic.failure(); (err != nil) != c.wrong {
			t.Errorf("%+v: %v, want an error: %v", c.traffic, err, c.wrong)
		}
	}
}

func TestFieldsAreAddedBeforeTheEnd(t *testing.T) {
	if got := withFields(constantHead, "A: b\r\n"); !strings.HasSuffix(got, "\r\nA: b\r\n\r\n") || strings.Count(got, "\r\n\r\n") != 1 {
		t.Errorf("%q", got)
	}
}
