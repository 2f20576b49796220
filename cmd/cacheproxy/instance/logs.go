package instance

import (
	"context"
	"io"
	"log/slog"

	"cacheproxy/config"
	"cacheproxy/observe"
)

// Logs are the program's log and its audit lines, which share one output. Writers never wait for the output's reader.
// Lines that do not fit are dropped and counted, except audit lines: operators' calls, and the configurations and modes
// that came into force.
type Logs struct {
	Program *slog.Logger
	audit   *slog.Logger
	lines   *observe.LineWriter // nil: Program has no line writer
}

// NewLogs makes the log in front of w. level, which may change, counts instead of the configuration's level. Lines wait
// until Run.
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

// logTo makes logs of a logger. The logger itself must not make its callers wait.
func logTo(l *slog.Logger) *Logs { return &Logs{Program: l, audit: l} }

// Run writes lines until ctx ends, and then the remaining lines, for two seconds at most.
func (l *Logs) Run(ctx context.Context) error {
	if l.lines == nil {
		<-ctx.Done()
		return nil
	}
	return l.lines.Run(ctx)
}

// TakeOver sends the output of libraries to the log as well, so that their lines do not wait for a reader and do not
// repeat bytes of peers. The setting is for the process, not for an instance.
func (l *Logs) TakeOver() {
	observe.HearLibraries(l.Program)
}

// End logs why the process ends. End reports false where the log is off: the owner then has to report the error.
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

// auditFull reports whether actions that leave an audit line must be refused.
func (l *Logs) auditFull() bool { return l.lines != nil && l.lines.AuditFull() }
