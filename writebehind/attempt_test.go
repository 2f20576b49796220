package writebehind

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
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
