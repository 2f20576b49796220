package admin

import (
	"context"
	"strings"
	"testing"

	"cacheproxy/invalidation"
)

// A defect is an error of the call that meets it, and the log has its stack.
func TestDefectOfACall(t *testing.T) {
	l := newListener()
	l.Purge = func(context.Context, Purge) (invalidation.Receipt, error) { panic("a defect") }
	l.start(t)
	res, body := l.ask(t, "DELETE /tags/a", "")
	if res.StatusCode != 500 || !strings.Contains(body, "the log has more") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	for _, want := range []string{"admin call panicked", "path=/tags/a", "a defect", "admin.(*handler).serve"} {
		if !strings.Contains(l.log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, l.log)
		}
	}
}
