package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// modeFlags are the flags of the command mode.
type modeFlags struct {
	route, share string
	duration     time.Duration
	reset        bool
}

func modeCommand() *cobra.Command {
	var admin adminFlags
	var flags modeFlags
	cmd := &cobra.Command{
		Use:   "mode [--route NAME on|observe|off]",
		Short: "Switch a route's cache on, to observation, or off, or list the modes in force",
		Long: `Switch a route's cache on, to observation, or off. It holds for requests that arrive after the command has returned.
Writes invalidate in every mode, so that nothing stale is served when a route is switched on again.

Without arguments, list the modes in force: which routes were switched by whom, and until when.

With --share, each request is drawn by itself: that share goes by the mode, the others pass through as with off. To begin
carefully: observe, then on --share 10%, then on. The share of hits grows with the share, since fewer fetches are shared.

The exit status is 0 when it is done, else 1.`,
		Example: `  cacheproxy mode
  cacheproxy mode --route product off --for 1h
  cacheproxy mode --route product on --share 10%
  cacheproxy mode --route product --reset`,
		Args:         cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs:    []string{"on", "observe", "off"},
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := flags.check(cmd, args)
			if err != nil {
				return err
			}
			if list {
				return listModes(cmd, &admin)
			}
			return flags.apply(cmd, &admin, args)
		},
	}
	cmd.Flags().StringVar(&flags.route, "route", "", "the route's name")
	cmd.Flags().DurationVar(&flags.duration, "for", 0, "go back to the configured mode after this long; 0: stay until switched again")
	cmd.Flags().StringVar(&flags.share, "share", "", "the share of the requests that the mode is for, such as 10%; the others go as with off (default 100%)")
	cmd.Flags().BoolVar(&flags.reset, "reset", false, "go back to the configured mode now")
	admin.register(cmd)
	return cmd
}

// check reports whether to list the modes, and refuses contradictory flags.
func (f *modeFlags) check(cmd *cobra.Command, args []string) (list bool, err error) {
	given := cmd.Flags().Changed
	setting := len(args) > 0 || given("for") || given("share") || f.reset
	switch {
	case !given("route") && !setting:
		return true, nil
	case f.route == "":
		return false, errors.New("which route? Give --route NAME; without any arguments, the modes of all routes are listed")
	case f.reset && (len(args) > 0 || given("for") || given("share")):
		return false, errors.New("--reset goes back to what is configured: leave out the mode, --for and --share")
	case len(args) == 0 && !f.reset:
		return false, errors.New("which mode? Give on, observe or off, or --reset")
	case f.duration < 0:
		return false, fmt.Errorf("--for %v is negative", f.duration)
	}
	return false, nil
}

// apply makes the call for the flags.
func (f *modeFlags) apply(cmd *cobra.Command, admin *adminFlags, args []string) error {
	method, order := http.MethodDelete, any(nil)
	if !f.reset {
		fields := map[string]string{"mode": args[0]}
		if f.duration > 0 {
			fields["for"] = f.duration.String()
		}
		if f.share != "" {
			fields["share"] = f.share
		}
		method, order = http.MethodPost, fields
	}
	answer, err := admin.ask(cmd.Context(), method, "/routes/"+url.PathEscape(f.route)+"/mode", order)
	if err != nil {
		return err
	}
	var now struct{ Route, Mode, Share, For string }
	if err := json.Unmarshal(answer, &now); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if now.Share != "" {
		now.Mode += " for " + now.Share + " of the requests"
	}
	if now.For != "" {
		now.Mode += " for " + now.For
	}
	if f.reset {
		now.Mode += ", as configured"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "route %s: %s\n", now.Route, now.Mode)
	return nil
}
