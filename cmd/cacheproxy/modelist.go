package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"cacheproxy/admin"

	"github.com/spf13/cobra"
)

// listModes prints the modes of all routes.
func listModes(cmd *cobra.Command, flags *adminFlags) error {
	answer, err := flags.ask(cmd.Context(), http.MethodGet, "/routes", nil)
	if err != nil {
		return err
	}
	var list struct{ Routes []admin.RouteMode }
	if err := json.Unmarshal(answer, &list); err != nil || list.Routes == nil {
		return errors.New("the answer is not a list of routes: is --admin right?")
	}
	out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "ROUTE\tMODE\tSHARE\tCONFIGURED\tSET BY\tSINCE\tUNTIL")
	for _, r := range list.Routes {
		if r.Override == nil || r.Configured == nil {
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t\t\t\n", r.Route, r.Mode, r.Share, "as is")
			continue
		}
		until := "switched again"
		if r.Override.Until != nil {
			until = r.Override.Until.Format(time.RFC3339)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s %s\t%s\t%s\t%s\n", r.Route, r.Mode, r.Share, r.Configured.Mode, r.Configured.Share,
			r.Override.By, r.Override.Since.Format(time.RFC3339), until)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("print modes: %w", err)
	}
	return nil
}
