package instance

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log"
	"log/slog"
	"strings"
	"testing"

	"cacheproxy/config"
)

// Nobody waits for who reads the log, neither those who write to it nor libraries; who did what waits for its reader, in a room of its
// own, and is not lost to all the rest.
func TestLogsDoNotWait(t *testing.T) {
	read, write := io.Pipe()
	logs := NewLogs(config.Log{}, slog.LevelInfo, write)
	before, flags, output := slog.Default(), log.Flags(), log.Writer()
	t.Cleanup(func() {
		slog.SetDefault(before)
		log.SetFlags(flags)
		log.SetOutput(output)
	})
	logs.TakeOver()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- logs.Run(ctx) }()
	log.Print(`Unsolicited response received on idle HTTP channel starting with "SECRET"; err=<nil>`)
	for range 60_000 { // some nine megabytes
		logs.Program.Warn("a line of a request that got no answer", "filler", "................................................")
	}
	logs.audit.Info("purged", "keys", 1)
	if logs.dropped() == 0 || logs.auditFull() {
		t.Errorf("dropped %d lines, audit full: %t", logs.dropped(), logs.auditFull())
	}
	lines := bufio.NewScanner(read)
	masked := false
	for lines.Scan() {
		line := lines.Text()
		if strings.Contains(line, "SECRET") {
			t.Errorf("a line has what a peer has sent: %s", line)
		}
		masked = masked || strings.Contains(line, `"level":"WARN","msg":"Unsolicited response received`)
		if strings.Contains(line, `"msg":"purged","keys":1`) {
			break
		}
	}
	if !masked {
		t.Error("the library's line is not one of the log")
	}
	read.Close()
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// With the names of OpenTelemetry each field of the process log has one, as those of the access log do.
func TestProcessLogByConventions(t *testing.T) {
	var out bytes.Buffer
	logs := NewLogs(config.Log{OTel: true}, slog.LevelInfo, &out)
	logs.Program.Info("serving", "listen", ":8080", "upstream", "shop", "error", "none")
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := logs.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, fields, _ := strings.Cut(out.String(), `"msg":"serving",`); fields != `"cacheproxy.listen":":8080","cacheproxy.upstream":"shop","exception.message":"none"}`+"\n" {
		t.Errorf("%s", out.String())
	}
}
