package observe

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// What net/http and net/textproto quote of a peer's bytes is not in the log, in no form of them.
func TestMasked(t *testing.T) {
	for text, want := range map[string]string{
		`Unsolicited response received on idle HTTP channel starting with "HTTP/1.1 200 OK\r\nX: \"SECRET\"\r\n"; err=<nil>`: `Unsolicited response received on idle HTTP channel starting with "…"; err=<nil>`,
		`malformed HTTP response "SECRET\\"`:                        `malformed HTTP response "…"`,
		`malformed HTTP status code "SECRET`:                        `malformed HTTP status code "…"`,
		`read: malformed MIME header line: SECRET: x`:               `read: malformed MIME header`,
		`malformed MIME header: missing colon: "SECRET"`:            `malformed MIME header`,
		`Get "http://api/?token=SECRET": bad "SECRET" and "SECRET"`: `Get "…": bad "…" and "…"`,
		`dial tcp 127.0.0.1:1: connect: connection refused`:         `dial tcp 127.0.0.1:1: connect: connection refused`,
		`"`: `"…"`,
		``:  ``,
	} {
		if got := masked(text); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	var out bytes.Buffer
	l := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: MaskErrors}))
	l.Warn("no answer", "error", errors.New(`malformed HTTP response "SECRET"`), "route", `a "quoted" route`)
	slog.NewLogLogger(l.Handler(), slog.LevelWarn).Print(`starting with "SECRET"`)
	if got := out.String(); strings.Contains(got, "SECRET") || !strings.Contains(got, `a \"quoted\" route`) || !strings.Contains(got, "malformed HTTP response") {
		t.Error(got)
	}
}

func FuzzMasked(f *testing.F) {
	f.Add(`a "b\"c" d "`)
	f.Fuzz(func(t *testing.T, text string) {
		if got := masked(`malformed HTTP response ` + quoteOf(text) + ` end`); got != `malformed HTTP response "…" end` {
			t.Errorf("%q", got)
		}
	})
}

func quoteOf(text string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(text, quotedField, ""), `\`, `\\`), `"`, `\"`) + `"`
}
