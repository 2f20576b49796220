// Command cacheproxy is a transparent caching reverse proxy. This package is the wiring: one file for each subcommand, and
// the instance that serve and demo run.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// started is when the process began, as near as it can know.
var started = time.Now()

func main() {
	if err := rootCommand().ExecuteContext(untilSignal()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// untilSignal is a context that the first signal ends, which asks for an orderly end of the process. The second one is the
// end, with the exit status that shells give to it. What waits for them lasts as long as the process.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		status := 128
		if s, ok := (<-signals).(syscall.Signal); ok {
			status += int(s)
		}
		os.Exit(status)
	}()
	return ctx
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "cacheproxy",
		Short:         "A transparent caching reverse proxy that takes read load off the database behind an HTTP API",
		SilenceErrors: true,
	}
	root.AddCommand(
		serveCommand(), demoCommand(), checkCommand(), explainCommand(), purgeCommand(), modeCommand(), reloadCommand(), healthCommand(), versionCommand(),
	)
	return root
}
