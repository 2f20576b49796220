package fill

import (
	"context"
	"net/http"
	"testing"
	"time"
)

func TestPanicWhileABodyIsFetched(t *testing.T) {
	r := newRig(t, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	c := &running{f: r.Filler, flight: &flight{shard: &flightShard{}, key: "k"}, q: &Request{Route: r.route}, ctx: ctx, cancel: cancel, deadline: time.NewTimer(time.Hour)}
	res := Response{body: newBody(r.store.Memory().Budget(), 1000, -1)}
	lead := res.body.leader()
	body := &panicking{}
	c.pump(&http.Response{Body: body}, res)
	if _, err := lead.Next(t.Context()); err == nil || !body.closed {
		t.Errorf("error %v, body closed: %t; want the reader to see an error and the body closed", err, body.closed)
	}
}

type panicking struct{ closed bool }

func (*panicking) Read([]byte) (int, error) { panic("broken") }
func (p *panicking) Close() error           { p.closed = true; return nil }
