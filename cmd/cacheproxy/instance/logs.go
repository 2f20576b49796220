package instance

import (
	"context"
	"io"
	"log/slog"

	"cacheproxy/config"
	"cacheproxy/observe"
)

// Logs are the program's log and its lines of audit, which go to the same output. Nobody who writes waits for who reads; what does
// not fit is dropped and counted, but for lines of audit: what operators asked for, and which configuration and modes came into force.
type Logs struct {
	Program *slog.Logger
	audit   *slog.Logger
	lines   *observe.LineWriter // nil: Program's own
}

// NewLogs makes the log in front of w; level, which may change, is heeded in place of the configuration's. Lines wait until Run.
func NewLogs(c config.Log, level slog.Leveler, w io.Writer) *Logs {
	if c.Format == config.LogOff {
		return logTo(slog.New(slog.DiscardHandler))
	}
	lines := observe.NewLineWriter(w)
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: observe.MaskErrors}
	if c.OTel {
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			return observe.ConventionalNames(groups, observe.MaskErrors(groups, a))
		}
	}
	handler := func(w io.Writer) *slog.Logger {
		if c.Format == config.LogText {
			return slog.New(slog.NewTextHandler(w, options))
		}
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return &Logs{Program: handler(lines), audit: handler(lines.Audit()), lines: lines}
}

// logTo makes logs of a logger, which has to see for itself that nobody waits for it.
func logTo(l *slog.Logger) *Logs { return &Logs{Program: l, audit: l} }

// Run writes lines until ctx ends, and then those that are left, for two seconds at most.
func (l *Logs) Run(ctx context.Context) error {
	if l.lines == nil {
		<-ctx.Done()
		return nil
	}
	return l.lines.Run(ctx)
}

// TakeOver has what libraries print go to the log as well: their lines do not wait for who reads them, and do not repeat what peers
// have sent. It is for the process, not for an instance.
func (l *Logs) TakeOver() {
	observe.HearLibraries(l.Program)
}

// End tells why the process ends, and reports whether anybody is told: where the log is off, its owner has to say it.
func (l *Logs) End(why error) bool {
	if l.lines != nil {
		l.Program.Error("ended", "error", why)
	}
	return l.lines != nil
}

func (l *Logs) dropped() uint64 {
	if l.lines == nil {
		return 0
	}
	return l.lines.Dropped()
}

// auditFull reports whether nothing more is to be done that leaves a line of audit.
func (l *Logs) auditFull() bool { return l.lines != nil && l.lines.AuditFull() }
