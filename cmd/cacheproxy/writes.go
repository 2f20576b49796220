package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"cacheproxy/admin"

	"github.com/spf13/cobra"
)

func writesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "writes",
		Short: "List writes that were accepted and are not done, and decide about dead letters",
		Long: `List writes that were accepted and are not done, and decide about those that wait for somebody: dead letters.

A dead letter is a write that was answered with 202 and that the upstream has refused, or of which nobody knows whether it was
done. Where nobody knows, later writes to the same wait for the decision (BLOCKS). Look at the upstream before you decide.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(writesListCommand(), writesRetryCommand(), writesDropCommand())
	return cmd
}

func writesListCommand() *cobra.Command {
	var flags adminFlags
	var waiting bool
	var route string
	var limit int
	cmd := &cobra.Command{
		Use:          "list",
		Short:        "List dead letters, or with --waiting what waits, oldest first",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			if waiting {
				query.Set("state", "waiting")
			}
			if route != "" {
				query.Set("route", route)
			}
			answer, err := flags.ask(cmd.Context(), http.MethodGet, "/writes?"+query.Encode(), nil)
			if err != nil {
				return err
			}
			return printWrites(cmd, answer)
		},
	}
	cmd.Flags().BoolVar(&waiting, "waiting", false, "what waits for the upstream, instead of dead letters")
	cmd.Flags().StringVar(&route, "route", "", "of this route only")
	cmd.Flags().IntVar(&limit, "limit", 100, "as many at most")
	flags.register(cmd)
	return cmd
}

func printWrites(cmd *cobra.Command, answer []byte) error {
	var list struct{ Writes []admin.QueuedWrite }
	if err := json.Unmarshal(answer, &list); err != nil || list.Writes == nil {
		return errors.New("the answer is not a list of writes: is --admin right?")
	}
	out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "ID\tSTATE\tROUTE\tACCEPTED\tATTEMPTS\tNEXT TRY\tSEQUENCE\tWRITE\tBLOCKS\tLATER DONE\tPROBLEM")
	word := map[bool]string{true: "yes", false: "no"}
	for _, w := range list.Writes {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s %s\t%s\t%s\t%s\n", w.ID, w.State, w.Route, w.Accepted.Format(time.RFC3339), w.Attempts, nextTry(w), w.Sequence, w.Method, w.Path,
			word[w.Blocks], word[w.Overtaken], w.Problem)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("print writes: %w", err)
	}
	return nil
}

func nextTry(w admin.QueuedWrite) string {
	if w.Next.IsZero() {
		return "-"
	}
	return w.Next.Format(time.RFC3339)
}

func writesRetryCommand() *cobra.Command {
	return decidingCommand(&cobra.Command{
		Use:   "retry ID",
		Short: "Have a dead letter tried again",
		Long:  "Have a dead letter tried again. Where later writes to the same are done, or wait, it would undo them, and is refused without --force.",
	}, http.MethodPost, "/retry", "tried again", "also where it undoes later writes: it becomes the last of them")
}

func writesDropCommand() *cobra.Command {
	return decidingCommand(&cobra.Command{
		Use:   "drop ID",
		Short: "Drop a dead letter: it is never made, and what waits for it goes on",
		Long:  "Drop a dead letter: it is never made, and what waits for it goes on. With --force also a write that waits for the upstream; one that is at it is not dropped.",
	}, http.MethodDelete, "", "dropped", "also one that waits and is no dead letter; its client was told 202")
}

// decidingCommand makes cmd decide about a write, by a call whose path ends in call. done is the write's state
// afterwards, and force the description of --force.
func decidingCommand(cmd *cobra.Command, method, call, done, force string) *cobra.Command {
	var flags adminFlags
	var forced bool
	cmd.Args, cmd.SilenceUsage = cobra.ExactArgs(1), true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path := "/writes/" + url.PathEscape(args[0]) + call
		if forced {
			path += "?force=true"
		}
		if _, err := flags.ask(cmd.Context(), method, path, nil); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "write %s is %s\n", args[0], done)
		return nil
	}
	cmd.Flags().BoolVar(&forced, "force", false, force)
	flags.register(cmd)
	return cmd
}
