package main

import (
	"bufio"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestHeadsAreRealistic(t *testing.T) {
	heads := makeHeads(realisticHeads, 1)
	traces, ids, agents := map[string]bool{}, map[string]bool{}, map[string]bool{}
	inARow, last := 0, ""
	for _, head := range heads {
		whole := "GET /2048/1 HTTP/1.1\r\n" + head
		if len(head) < shortestHead || len(whole) > longestHead {
			t.Errorf("a head has %d bytes, want %d to %d:\n%s", len(head), shortestHead, longestHead, head)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(whole)))
		if err != nil {
			t.Fatalf("read head: %v:\n%s", err, head)
		}
		traces[r.Header.Get("Traceparent")], ids[r.Header.Get("X-Request-Id")] = true, true
		agents[r.UserAgent()] = true
		if r.UserAgent() == last {
			inARow++
		}
		last = r.UserAgent()
	}
	if len(traces) != realisticHeads || len(ids) != realisticHeads {
		t.Errorf("%d traces and %d ids in %d heads, want one of its own in each", len(traces), len(ids), realisticHeads)
	}
	if len(agents) != len(clients) || inARow > realisticHeads/5 {
		t.Errorf("%d clients, want %d; %d heads follow one of the same client: want them mixed", len(agents), len(clients), inARow)
	}
	if !slices.Equal(heads, makeHeads(realisticHeads, 1)) {
		t.Error("the same seed made other heads")
	}
}
