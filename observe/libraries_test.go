package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"log"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	"google.golang.org/grpc/grpclog"
)

// Whatever a library prints is a line of the log.
func TestHearLibraries(t *testing.T) {
	var out bytes.Buffer
	before, flags, output := slog.Default(), log.Flags(), log.Writer()
	t.Cleanup(func() {
		HearLibraries(before) // those loggers that cannot be asked what they were
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(os.Stderr, os.Stderr, os.Stderr))
		slog.SetDefault(before)
		log.SetFlags(flags)
		log.SetOutput(output)
	})
	HearLibraries(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: MaskErrors})))
	log.Print(`from the "secret" standard logger`)
	slog.Error("from slog")
	otel.Handle(errors.New("from OpenTelemetry"))
	grpclog.Error("from gRPC")
	grpclog.Info("nothing that is not an error")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := []string{"standard logger", "slog", "OpenTelemetry", "gRPC"}
	if len(lines) != len(want) || strings.Contains(out.String(), "secret") {
		t.Fatalf("got %s", &out)
	}
	for i, line := range lines {
		if !json.Valid([]byte(line)) || !strings.Contains(line, want[i]) {
			t.Errorf("%s: %s", want[i], line)
		}
	}
}
