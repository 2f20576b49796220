package observe

import (
	"io"
	"log"
	"log/slog"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"google.golang.org/grpc/grpclog"
)

// HearLibraries sends the output of libraries to a log, at level warn where a library has no levels. The setting is for
// the whole process: there is one standard logger, and one logger for each library with a logger of its own.
func HearLibraries(to *slog.Logger) {
	slog.SetDefault(to)
	lines := slog.NewLogLogger(to.Handler(), slog.LevelWarn).Writer()
	log.SetFlags(0)
	log.SetOutput(lines)
	otel.SetLogger(logr.FromSlogHandler(to.Handler()))
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, lines)) // errors, which grpclog prints by default
}
