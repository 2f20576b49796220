package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func modeCommand() *cobra.Command {
	var admin adminFlags
	var route string
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "mode --route NAME on|observe|off",
		Short: "Switch a route's cache on, to observation, or off, at once and on every instance",
		Example: `  cacheproxy mode --route product off --for 1h
  cacheproxy mode --route product on`,
		Args:         cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs:    []string{"on", "observe", "off"},
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if duration < 0 {
				return fmt.Errorf("--for %v is negative", duration)
			}
			client, err := admin.client()
			if err != nil {
				return err
			}
			order := map[string]string{"mode": args[0]}
			if duration > 0 {
				order["for"] = duration.String()
			}
			answer, err := client.call(cmd.Context(), http.MethodPost, "/routes/"+url.PathEscape(route)+"/mode", order)
			if err != nil {
				return err
			}
			return reportMode(cmd, answer)
		},
	}
	cmd.Flags().StringVar(&route, "route", "", "the route's name")
	cmd.Flags().DurationVar(&duration, "for", 0, "go back to the configured mode after this long; 0: stay until switched again")
	if err := cmd.MarkFlagRequired("route"); err != nil {
		panic(err) // the flag is defined two lines above
	}
	admin.register(cmd)
	return cmd
}

func reportMode(cmd *cobra.Command, answer adminAnswer) error {
	if answer.status != http.StatusOK {
		return answer.problem()
	}
	var now struct{ Route, Mode, For string }
	if err := json.Unmarshal(answer.body, &now); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if now.For != "" {
		now.Mode += " for " + now.For
	}
	fmt.Fprintf(cmd.OutOrStdout(), "route %s: %s\n", now.Route, now.Mode)
	return nil
}
