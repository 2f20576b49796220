package store

import (
	"bufio"
	"bytes"
	"net/http"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func someHeader() http.Header {
	return http.Header{
		"Content-Type": {"text/html; charset=utf-8"},
		"Etag":         {`"abc"`},
		"Link":         {"</a>; rel=preload", "</b>; rel=preload"},
		"X-Empty":      {""},
	}
}

func TestHead(t *testing.T) {
	const want = "Content-Type: text/html; charset=utf-8\r\nEtag: \"abc\"\r\n" +
		"Link: </a>; rel=preload\r\nLink: </b>; rel=preload\r\nX-Empty: \r\n"
	c := NewCopy(200, someHeader(), []byte("body"))
	if c.Head() != want {
		t.Errorf("Head = %q, want %q", c.Head(), want)
	}
	parsed, err := textproto.NewReader(bufio.NewReader(strings.NewReader(c.Head() + "\r\n"))).ReadMIMEHeader()
	if err != nil || !reflect.DeepEqual(http.Header(parsed), someHeader()) {
		t.Errorf("Head reads back as %v, %v", parsed, err)
	}
	if !reflect.DeepEqual(c.Header(), someHeader()) {
		t.Errorf("Header = %v", c.Header())
	}
	if c.Get("Link") != "</a>; rel=preload" || c.Get("X-Empty") != "" || c.Get("Absent") != "" {
		t.Error("Get does not give the first value")
	}
}

// What an origin or a bug puts into a header must not become another field, or break the copy.
func TestHeadOfHostileHeader(t *testing.T) {
	c := NewCopy(200, http.Header{
		"A": {"x\r\nInjected: 1", "y\nInjected: 2", "z\rInjected: 3", "\x00", " padded\t"}, "Gone": {}, "Nil": nil, "Z": nil,
	}, nil)
	want := http.Header{"A": {"x  Injected: 1", "y Injected: 2", "z Injected: 3", "", "padded"}}
	if got := c.Header(); !reflect.DeepEqual(got, want) {
		t.Errorf("Header = %q, want %q", got, want)
	}
	if strings.Count(c.Head(), "\r") != 5 || strings.Count(c.Head(), "\n") != 5 || strings.Contains(c.Head(), "\x00") {
		t.Errorf("Head = %q: a value breaks its line", c.Head())
	}
	if got := NewCopy(204, nil, nil); got.Head() != "" || len(got.Header()) != 0 {
		t.Errorf("no header gives %q", got.Head())
	}
}

// A server may write the header of an answer after its handler has returned, when nobody has the copy any more.
func TestHeaderOutlivesCopy(t *testing.T) {
	watch(t) // what is free is overwritten
	s := New(NewMemory(1 << 20))
	c := NewCopy(200, someHeader(), []byte("body"))
	s.Put("key", nil, c)
	c.Release()
	found := s.Lookup("key", nil, now)
	h := make(http.Header)
	more, room := found.Copy.CopyHeaderAnd(h, false, []byte("12"))
	links, vary := found.Copy.Values("Link"), found.Copy.Vary()
	view := found.Copy.Get("Etag")
	if view != `"abc"` || !found.Copy.Has("X-Empty") || found.Copy.Has("X") || found.Copy.Has("X-Empty-") {
		t.Errorf("what the header has: %q", view)
	}
	found.Release()
	s.Memory().Delete("key")
	if !raceEnabled && view == `"abc"` { // the race detector sees to it by itself
		t.Error("a copy that is free was not overwritten: this test shows nothing")
	}
	if !reflect.DeepEqual(h, someHeader()) || !reflect.DeepEqual(links, someHeader()["Link"]) || more != "12" || len(room) != 0 || cap(room) != 2 || vary != nil {
		t.Errorf("after the copy is gone: %v, %q, %q, %d of %d", h, links, more, len(room), cap(room))
	}
}

// A client's response may add to the fields that it was given; the copy must not see that.
func TestAppendingToCopiedHeader(t *testing.T) {
	c := NewCopy(200, someHeader(), nil)
	h := http.Header{"Age": {"1"}, "Etag": {"other"}}
	c.copyHeader(h)
	h.Add("Content-Type", "more")
	h.Add("Link", "more")
	if !reflect.DeepEqual(c.Header(), someHeader()) {
		t.Errorf("the copy became %v", c.Header())
	}
	if h.Get("Age") != "1" || h.Get("Etag") != `"abc"` {
		t.Errorf("copyHeader gave %v", h)
	}
}

func TestCopyHeaderAllocatesTextAndValues(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c, h := NewCopy(200, someHeader(), nil), make(http.Header, 16)
	if n := testing.AllocsPerRun(100, func() { clear(h); c.CopyHeaderAnd(h, false, nil) }); n != 2 {
		t.Errorf("%v allocations, want 2", n)
	}
	for about, f := range map[string]func(){"Has": func() { c.Has("Link") }, "Get": func() { c.Get("Etag") }} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", about, n)
		}
	}
}

// RFC 9111 §4.3.4: a 304 brings a new header for the body that is there.
func TestWithHeader(t *testing.T) {
	c := NewCopy(200, someHeader(), []byte("body"))
	c.SetVary([]string{"Accept"})
	c.Use.Hit(time.Now())
	n := c.WithHeader(http.Header{"Etag": {`"def"`}})
	if n.Head() != "Etag: \"def\"\r\n" || n.Status() != 200 || n.Digest != c.Digest || n.Vary()[0] != "Accept" {
		t.Errorf("%+v", n)
	}
	if unsafe.SliceData(n.Body()) != unsafe.SliceData(c.Body()) {
		t.Error("the body was copied")
	}
	if c.Get("Etag") != `"abc"` || n.Use.Hits.Load() != 0 {
		t.Error("the copies share more than the body")
	}
}

func TestDigest(t *testing.T) {
	c := NewCopy(200, nil, []byte("body"))
	if c.Digest != Digest(200, []byte("body")) {
		t.Error("Digest is not the copy's")
	}
	if c.Digest == Digest(404, []byte("body")) || c.Digest == Digest(200, []byte("bodY")) {
		t.Error("Digest does not tell answers apart")
	}
	if spare := NewCopy(200, nil, append(make([]byte, 0, 100), "body"...)); cap(spare.Body()) != 4 {
		t.Error("appending to a body would write into the copy's array")
	} else if !bytes.Equal(spare.Body(), c.Body()) {
		t.Error("the body changed")
	}
}

func TestUse(t *testing.T) {
	var u Use
	if u.Hit(now) != 1 || u.Hit(now) != 2 {
		t.Error("Hit does not count")
	}
	u.Hits.Store(^uint32(0))
	if u.Hit(now) != ^uint32(0) {
		t.Error("the count wraps")
	}
	if !u.StartRenewal(now) || u.StartRenewal(now) {
		t.Error("not exactly one caller may renew")
	}
	u.EndRenewal(now, 0)
	if !u.StartRenewal(now) {
		t.Error("a renewal that ended bars the next")
	}
	u.EndRenewal(now, time.Second)
	if u.StartRenewal(now.Add(time.Second-1)) || !u.StartRenewal(now.Add(time.Second)) {
		t.Error("the pause after a failure is not kept")
	}
}

// A failure counts once for all who waited for it, and the next when the pause is over; one at a time asks again.
func TestUseFails(t *testing.T) {
	var u Use
	pause := func(n uint32) time.Duration { return time.Duration(n) * time.Second }
	if u.Failing(now) {
		t.Error("a copy is left alone before anything failed")
	}
	u.Fail(now, true, pause)
	u.Fail(now, true, pause)
	if u.Failures() != 1 || !u.Failing(now.Add(time.Second-1)) || u.Failing(now.Add(time.Second)) {
		t.Errorf("%d failures, of one answer, are to hold for a second", u.Failures())
	}
	now := now.Add(time.Second)
	if !u.StartRenewal(now) || !u.Failing(now) {
		t.Error("while one asks again, the others are to be left with the copy")
	}
	u.Fail(now, true, pause)
	u.EndRenewal(now, 0)
	if u.Failures() != 2 || !u.Failing(now.Add(2*time.Second-1)) || u.Failing(now.Add(2*time.Second)) {
		t.Error("the second failure in a row is to hold for two seconds")
	}
	u.Fail(now.Add(time.Minute), false, pause)
	if u.Failing(now.Add(time.Minute)) || u.StartRenewal(now.Add(time.Minute)) {
		t.Error("after a failure for which no copy stands in, only renewals wait")
	}
}
