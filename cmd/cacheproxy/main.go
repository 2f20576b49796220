// Command cacheproxy is a transparent caching reverse proxy. This package is the command line, with one file for each
// subcommand. Package instance is the proxy that serve and demo run, and package demo the shop of demo.
//
//	main.go                        the root command, and the signals that end the process
//	serve.go, demo.go              run the proxy
//	check.go, check*.go            say what a configuration means, and whether its servers fit
//	purge.go, mode.go, reload.go,  ask a running proxy, by client.go; outline.go prints its answers for people
//	explain.go, health.go
//	postgres.go                    what PostgreSQL has to have installed
//	leaderboard.go                 take scores in and out
//	version.go                     which build this is
//	arguments.go                   what is wrong with how a command was written
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	if err := rootCommand().ExecuteContext(untilSignal()); err != nil {
		if !errors.As(err, new(toldError)) {
			tell(err)
		}
		os.Exit(1)
	}
}

// tell prints why the program ends. A reader of standard error that does not read must not keep the program from
// ending.
func tell(err error) {
	told := make(chan struct{})
	go func() {
		defer close(told)
		fmt.Fprintln(os.Stderr, err)
	}()
	select {
	case <-told:
	case <-time.After(2 * time.Second):
	}
}

// untilSignal is a context that ends with the first signal, which asks for an orderly end. The second signal ends the
// process, with the exit status that shells give to a process ended by that signal. The goroutine lives as long as the
// process.
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
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		serveCommand(), demoCommand(), checkCommand(), explainCommand(), purgeCommand(), modeCommand(), writesCommand(), leaderboardCommand(), reloadCommand(), healthCommand(), pgCommand(), versionCommand(),
	)
	return root
}
