package fill

import (
	"fmt"
	"net/http/httptrace"
	"net/textproto"
	"testing"
)

// A client that does not take its hints holds up nobody: what does not fit is dropped.
func TestHintsDoNotBlock(t *testing.T) {
	hints := make(chan hint, maxHints)
	trace := httptrace.ContextClientTrace(withHints(t.Context(), hints))
	for i := range 3 * maxHints {
		if err := trace.Got1xxResponse(103, textproto.MIMEHeader{"Link": {fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, status := range []int{100, 101} {
		<-hints
		if err := trace.Got1xxResponse(status, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(hints) != maxHints-2 {
		t.Errorf("%d hints wait, one of them for a 100 or 101", len(hints))
	}
	if ctx := withHints(t.Context(), nil); httptrace.ContextClientTrace(ctx) != nil {
		t.Error("a fill in the background is told hints")
	}
}
