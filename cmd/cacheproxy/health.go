package main

import (
	"context"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func healthCommand() *cobra.Command {
	var admin adminFlags
	var live bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Tell by the exit status whether a running proxy should get traffic",
		Long: `Tell by the exit status whether a running proxy should get traffic: 0 yes, 1 no.

For container health checks. With --live the question is only whether the process answers: an instance that drains or
is not yet ready is alive.`,
		Args:         takes(0),
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			path := "/readyz"
			if live {
				path = "/healthz"
			}
			answer, err := admin.ask(ctx, http.MethodGet, path, nil)
			if err != nil {
				return err
			}
			return printOutline(cmd.OutOrStdout(), answer)
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask whether the process answers, not whether it should get traffic")
	cmd.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "how long to wait for an answer")
	admin.register(cmd)
	return cmd
}
