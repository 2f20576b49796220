package observe

import (
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// Nearly every line of the access log is plain: its texts are printable ASCII without characters that JSON escapes. The
// code below builds such a line byte for byte as slog.JSONHandler would, at a fraction of the cost, mostly for numbers
// with a fraction. Every other line is left to slog, so that this code needs no rules of escaping.

// plainLines has buffers for plain lines.
var plainLines = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// writePlain writes a line with these fields if the line is plain.
func writePlain(to io.Writer, at time.Time, fields []slog.Attr) (plain bool) {
	buf := plainLines.Get().(*[]byte)
	line, plain := appendPlain((*buf)[:0], at, fields)
	if plain {
		_, _ = to.Write(line) // dropped, as slog's errors are in AccessLog.Write
	}
	*buf = line[:0]
	plainLines.Put(buf)
	return plain
}

// appendPlain appends a line if the line is plain.
func appendPlain(line []byte, at time.Time, fields []slog.Attr) (_ []byte, plain bool) {
	if year := at.Year(); at.IsZero() || year < 0 || year > 9999 {
		return line, false
	}
	line = append(at.AppendFormat(append(line, `{"`+slog.TimeKey+`":"`...), time.RFC3339Nano), `","`+slog.LevelKey+`":"INFO","`+slog.MessageKey+`":"`+lineMessage+`"`...)
	for i := range fields {
		f := &fields[i]
		line = append(append(append(line, `,"`...), f.Key...), `":`...)
		switch f.Value.Kind() {
		case slog.KindString:
			text := f.Value.String()
			if !isPlain(text) {
				return line, false
			}
			line = append(append(append(line, '"'), text...), '"')
		case slog.KindInt64:
			line = strconv.AppendInt(line, f.Value.Int64(), 10)
		case slog.KindFloat64:
			n := f.Value.Float64()
			if n != 0 && !(n >= 1e-6 && n < 1e21) {
				return line, false // JSON writes other numbers with an exponent
			}
			line = strconv.AppendFloat(line, n, 'f', -1, 64)
		case slog.KindBool:
			line = strconv.AppendBool(line, f.Value.Bool())
		default:
			return line, false
		}
	}
	return append(line, "}\n"...), true
}

// isPlain reports whether JSON has the text unchanged.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
