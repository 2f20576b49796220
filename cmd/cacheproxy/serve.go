package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"cacheproxy/cmd/cacheproxy/instance"
	"cacheproxy/config"

	"github.com/spf13/cobra"
)

func serveCommand() *cobra.Command {
	var file, upstream string
	cmd := &cobra.Command{
		Use:   "serve (--config FILE | --upstream URL)",
		Short: "Run the proxy",
		Example: `  cacheproxy serve --config cacheproxy.yaml
  cacheproxy serve --upstream http://127.0.0.1:9000 --listen :8080`,
		Args:         takes(0),
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// A closed reader of standard output or error must not end the process: only the write fails.
			signal.Ignore(syscall.SIGPIPE)
			// The channel exists before the file is read: a signal right after the reading neither ends the process nor
			// is lost.
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			source, err := sourceOf(cmd, file, upstream)
			if err != nil {
				return err
			}
			snapshot, _, err := source.Read()
			if err != nil {
				return err
			}
			level := new(slog.LevelVar)
			level.Set(snapshot.Log.Level)
			logs := instance.NewLogs(snapshot.Log, level, cmd.ErrOrStderr())
			defer beside(logs.Run)()
			logs.TakeOver()
			for _, w := range snapshot.Warnings {
				logs.Program.Warn("relaxed safety", "where", w.String())
			}
			if upstream != "" {
				logs.Program.Warn("without a file, every header reaches the API, and an answer is for all who send what its Vary names: see that it names each that chooses the answer, such as an API key")
			}
			i, err := instance.New(instance.Options{
				Config: snapshot, Source: source, Logs: logs, Level: level, AccessLog: cmd.OutOrStdout(), Hangup: hangup, Build: buildVersion(),
			})
			if err == nil {
				err = i.Run(cmd.Context())
			}
			if err != nil && logs.End(err) {
				return toldError{err}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file (see config.example.yaml)")
	cmd.Flags().StringVar(&upstream, "upstream", "", "without a file: the origin's URL; everything is cached as RFC 9111 allows")
	cmd.Flags().String("listen", "", "address of the data listener, in place of the file's")
	cmd.Flags().String("admin", "", "address of the admin listener, in place of the file's")
	return cmd
}

// toldError is the error of a process whose log has already told why it ends, so that standard error has lines of one
// form.
type toldError struct{ error }

// beside starts what and returns a func that ends what and waits for its return.
func beside(what func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = what(ctx) // returns when ctx ends
	}()
	return func() {
		cancel()
		<-ended
	}
}

func sourceOf(cmd *cobra.Command, file, upstream string) (*config.Source, error) {
	switch {
	case file != "" && upstream != "":
		return nil, errors.New("give either --config or --upstream, not both: a file names its upstreams itself")
	case file == "" && upstream == "":
		return nil, fmt.Errorf("nothing to serve: give --config FILE, or --upstream URL to cache one origin by its own headers (%s demo shows how it works)", cmd.Root().Name())
	}
	return &config.Source{File: file, Upstream: upstream, Overrides: config.Overrides{Flags: cmd.Flags()}}, nil
}
