package observe

import (
	"io"
	"log"
	"log/slog"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"google.golang.org/grpc/grpclog"
)

// HearLibraries has what libraries print go to a log, at level warn where they do not say: their lines then are lines like others. It is
// for the process, not for a part of it: there is one standard logger, and one of each library that has its own.
func HearLibraries(to *slog.Logger) {
	slog.SetDefault(to)
	lines := slog.NewLogLogger(to.Handler(), slog.LevelWarn).Writer()
	log.SetFlags(0)
	log.SetOutput(lines)
	otel.SetLogger(logr.FromSlogHandler(to.Handler()))
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, lines)) // what it prints unless it is told otherwise: errors
}
