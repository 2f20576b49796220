package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cacheproxy/admin"

	"github.com/spf13/cobra"
)

func reloadCommand() *cobra.Command {
	var flags adminFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running proxy read its configuration again",
		Long: `Have a running proxy read its configuration again, and print what has changed. It does so by itself when a file
changes, and at SIGHUP; this command waits for the result, and prints as well what came into force by itself within the last
ten seconds. It needs a token that allows mode.

The exit status is 0 when what the file says is in force, but for keys that need a restart, which are printed; else 1:
then the configuration before is still in force, and what is wrong is printed with its line.`,
		Args:         takes(0),
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := flags.call(cmd.Context(), http.MethodPost, "/reload", nil)
			if err != nil {
				return err
			}
			switch answer.status {
			case http.StatusOK:
				return printReloaded(cmd, answer)
			case http.StatusUnprocessableEntity:
				var invalid admin.InvalidConfigError
				if err := json.Unmarshal(answer.body, &invalid); err != nil {
					return fmt.Errorf("read answer: %w", err)
				}
				return errors.New(strings.Join(append(invalid.Problems, "the configuration before stays in force"), "\n"))
			}
			return answer.problem()
		},
	}
	flags.register(cmd)
	return cmd
}

func printReloaded(cmd *cobra.Command, answer adminAnswer) error {
	var done admin.Reloaded
	if err := json.Unmarshal(answer.body, &done); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if len(done.Changed)+len(done.Recent) == 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "nothing has changed: the file is in force since %s (generation %d)\n", done.Since.Format(time.RFC3339), done.Generation)
	}
	for _, line := range append(done.Recent, done.Changed...) {
		fmt.Fprintln(cmd.OutOrStdout(), line)
	}
	for _, key := range done.Restart {
		fmt.Fprintln(cmd.OutOrStdout(), key+" waits for a restart")
	}
	for _, w := range done.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+w)
	}
	return nil
}
