package writebehind

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cacheproxy/test/bubbles"
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

// oneWrite is a queue of one write, first tried two hours ago.
type oneWrite struct {
	Queue
	record  Record
	settled func(State)
}

func (q *oneWrite) Begin(context.Context, Ownership, string) (Record, State, error) {
	return q.record, Waiting, nil
}

func (q *oneWrite) Settle(_ context.Context, _ Ownership, _ string, s State, _ int, _ string, _ bool, _ time.Duration) error {
	q.settled(s)
	return nil
}

// An API that did not answer the last try of what is too old may be at work on it yet. Only what is settled lets later writes of the key go
// on: that is noted when the API has ended.
func TestTooOldIsNotedWhenTheOriginHasEnded(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		content, err := sample().Encode()
		if err != nil {
			t.Fatal(err)
		}
		sealing, began := sealer(t, first), time.Now()
		q := &oneWrite{record: Record{ID: "w-1", Key: "k", Attempts: 9, Tried: began.Add(-2 * time.Hour), Sealed: sealing.Seal("w-1", "k", content)}}
		q.settled = func(s State) {
			if after := time.Since(began); s != Dead || after != 20*time.Second {
				t.Errorf("%s after %v, want a dead letter after 20s", s, after)
			}
		}
		f := NewFlusher(FlusherOptions{Queue: q, Sealer: sealing, Log: slog.New(slog.DiscardHandler), Told: func(string, State, time.Duration) {},
			Send: func(context.Context, *Write, uint64, func() bool) Try {
				return Try{Sent: true, Problem: "origin-timeout", AtWork: 20 * time.Second}
			}})
		if s := f.attempt(&partition{ctx: t.Context()}, Ref{ID: "w-1", Key: "k"}); s.is != stepDone {
			t.Errorf("%+v", s)
		}
	})
}
