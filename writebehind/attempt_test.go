package writebehind

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What is done has a line for those who look for one write, with its id and sequence.
func TestDoneIsLogged(t *testing.T) {
	var out bytes.Buffer
	f := NewFlusher(FlusherOptions{Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if s := f.told(Ref{ID: "w-1"}, &Write{Route: "stock"}, &Record{Sequence: 7}, verdict{State: Done}, 204); s.is != stepDone {
		t.Errorf("%+v", s)
	}
	for _, want := range []string{"level=DEBUG", "write=w-1", "route=stock", "sequence=7", "status=204"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in %s", want, &out)
		}
	}
}

// oneWrite is a queue of one write, which was tried before.
type oneWrite struct {
	Queue
	record  Record
	settled func(Outcome)
}

func (q *oneWrite) Begin(context.Context, Ownership, string) (Record, State, error) {
	return q.record, Waiting, nil
}

func (q *oneWrite) Settle(_ context.Context, _ Ownership, _ string, of Outcome) error {
	q.settled(of)
	return nil
}

// The queue hears with each outcome how long an API that did not answer may be at work yet: also with those after which the write is not
// tried again by itself.
func TestOutcomeSaysHowLongTheOriginIsAtWork(t *testing.T) {
	for _, of := range []struct {
		name, method string
		tried        time.Duration // before this try
		state        State
		step         stepKind
	}{
		{"tried again", http.MethodPut, 0, Waiting, stepAgain},
		{"too old", http.MethodPut, 2 * time.Hour, Dead, stepDone},
		{"may not be repeated", http.MethodPost, 0, Dead, stepBlock},
	} {
		t.Run(of.name, func(t *testing.T) {
			w := sample()
			w.Method = of.method
			content, err := w.Encode()
			if err != nil {
				t.Fatal(err)
			}
			sealing := sealer(t, first)
			var got Outcome
			q := &oneWrite{record: Record{ID: "w-1", Key: "k", Attempts: 9, Tried: time.Now().Add(-of.tried), Sealed: sealing.Seal("w-1", "k", content)}}
			q.settled = func(o Outcome) { got = o }
			f := NewFlusher(FlusherOptions{Queue: q, Sealer: sealing, Log: slog.New(slog.DiscardHandler), Send: func(context.Context, *Write, uint64, func() bool) Try {
				return Try{Sent: true, Problem: "origin-timeout", AtWork: 20 * time.Second}
			}})
			if s := f.attempt(&partition{ctx: t.Context()}, Ref{ID: "w-1", Key: "k"}); s.is != of.step || got.State != of.state || got.AtWork != 20*time.Second {
				t.Errorf("%+v, %+v", s, got)
			}
		})
	}
}
