package proxy

import (
	"context"
	"net/http/httptest"
	"testing"

	"cacheproxy/policy"
	"cacheproxy/store"
)

// A client that has all of an answer and leaves has not broken off, although the fetch has not come to its end yet. Where
// the length is not known, or more is to come, nobody can tell.
func TestWhoLeavesWithAllOfIt(t *testing.T) {
	for _, c := range []struct {
		length int64
		broken bool
	}{{5, false}, {6, true}, {-1, true}} {
		ctx, leave := context.WithCancel(t.Context())
		from := followed(t, ctx, "whole")
		d := &delivery{rq: &request{r: httptest.NewRequestWithContext(ctx, "GET", "/", nil)}}
		d.w.ResponseWriter = leaver{httptest.NewRecorder(), leave}
		broken := func() (broken bool) {
			defer func() { broken = recover() != nil }()
			d.follow(&fill{length: c.length}, from, everything)
			return false
		}()
		if broken != c.broken || (d.status.Reason == policy.ClientGone) != c.broken {
			t.Errorf("length %d: broken off %v, %v", c.length, broken, d.status.Reason)
		}
	}
}

// followed is a reader of a body of which this much has come.
func followed(t *testing.T, ctx context.Context, text string) *reader {
	t.Helper()
	b := newBody(store.NewMemory(1<<20).Budget(), 1<<10, -1)
	if _, err := b.append(ctx, []byte(text)); err != nil {
		t.Fatal(err)
	}
	from, ok := b.attach()
	if !ok {
		t.Fatal("the beginning is gone")
	}
	return from
}

// leaver is a client that leaves once it has been sent something.
type leaver struct {
	*httptest.ResponseRecorder
	leave func()
}

func (l leaver) Write(p []byte) (int, error) {
	defer l.leave()
	return l.ResponseRecorder.Write(p)
}
