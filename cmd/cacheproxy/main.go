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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; a second one gets what it does by default, which is the end.
	context.AfterFunc(ctx, stop)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "cacheproxy",
		Short:         "A transparent caching reverse proxy that takes read load off the database behind an HTTP API",
		SilenceErrors: true,
	}
	root.AddCommand(
		serveCommand(), demoCommand(), checkCommand(), explainCommand(), purgeCommand(), modeCommand(), healthCommand(), versionCommand(),
	)
	return root
}
