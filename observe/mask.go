package observe

import (
	"log/slog"
	"strings"
)

// quotedField is the text that net/textproto puts before bytes of a peer.
const quotedField = "malformed MIME header"

// masked is the text of an error or of a library's line without its quoted parts. Errors of net/http repeat bytes that
// peers have sent, which can be personal or secret.
func masked(text string) string {
	if before, _, found := strings.Cut(text, quotedField); found {
		text = before + quotedField
	}
	if !strings.Contains(text, `"`) {
		return text
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, `"`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString(`"…"`)
		end := 0
		for end < len(after) && after[end] != '"' {
			if after[end] == '\\' {
				end++
			}
			end++
		}
		text = after[min(end+1, len(after)):]
	}
}

// MaskErrors is a slog.HandlerOptions.ReplaceAttr that removes quoted parts from errors and from messages, since
// libraries quote in messages too.
func MaskErrors(_ []string, a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		return slog.String(a.Key, masked(err.Error()))
	}
	if a.Key == slog.MessageKey && a.Value.Kind() == slog.KindString {
		return slog.String(a.Key, masked(a.Value.String()))
	}
	return a
}
