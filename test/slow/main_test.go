package main

import (
	"strings"
	"testing"
)

const events = `make[1]: Entering directory
{"Time":"2026-01-01T00:00:00Z","Action":"start","Package":"a"}
{"Time":"2026-01-01T00:00:01Z","Action":"pass","Package":"a","Test":"TestLong","Elapsed":3}
{"Time":"2026-01-01T00:00:01Z","Action":"pass","Package":"a","Test":"TestShort","Elapsed":0.5}
{"Time":"2026-01-01T00:00:05Z","Action":"output","Package":"a","Output":"CPUTIME 3.000 0.500\n"}
{"Time":"2026-01-01T00:00:05Z","Action":"pass","Package":"a","Elapsed":4}
{"Time":"2026-01-01T00:00:06Z","Action":"output","Package":"b","Output":"CPUTIME 0.500 0.500\n"}
{"Time":"2026-01-01T00:00:20Z","Action":"pass","Package":"b","Elapsed":9}
{"Time":"2026-01-01T00:00:20Z","Action":"pass","Package":"c","Elapsed":0.1}
{"Time":"2026-01-01T00:00:20Z","Action":"pass","Package":"a","Elapsed":2}
`

func TestReport(t *testing.T) {
	r, err := read(strings.NewReader(events))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.print(&b); err != nil {
		t.Fatal(err)
	}
	const want = `20 s from the first test to the last; the packages took 15 s one by one, and 4 s of the processor.

  seconds  of the processor  tests  package
      9.0        1.0, waits      0  b
      4.0        3.5, works      2  a
      2.0                 ?      0  a

  seconds  test
      3.0  a TestLong
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestFailuresAreNamed(t *testing.T) {
	r, err := read(strings.NewReader(events + `{"Time":"2026-01-01T00:00:21Z","Action":"fail","Package":"d","Test":"TestX","Elapsed":0}` + "\n" +
		`{"Time":"2026-01-01T00:00:21Z","Action":"fail","Package":"d","Elapsed":0}` + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.print(&strings.Builder{}); err == nil || err.Error() != "failed: d TestX, d" {
		t.Error(err)
	}
	if _, err := read(strings.NewReader("nothing\n")); err == nil || !strings.Contains(err.Error(), "go test -json") {
		t.Error(err)
	}
}
