package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cacheproxy/config"
)

// checkCommand validates a file without serving it. Problems go to the error output, with an error; the meaning of the
// file goes to the output.
func checkCommand() *cobra.Command {
	var live, withoutSecrets bool
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a configuration and print what it means",
		Long: `Validate a configuration, offline. Every problem is printed at once, as
file:line: path: what is wrong and what to write instead; the exit status is 1.
A valid file gets a warning for every safety that it relaxes, and for every
route what its policy and settings come to. Environment variables override keys
as they do for serve.

With --live, the servers that the file names are asked too, as this machine and the user in the file see them: whether
they can be reached, are set up as the proxy needs them, and let it do what it does. Keys that this writes are its own,
and removed. What breaks a promise of the proxy makes the exit status 1; what may break one some day is a warning.
Of upstreams it asks each address: the health check where there is one, else it connects.

With --without-secrets, variables and files that are not here, such as in a pipeline, are warned about and stood in for.`,
		Args:          takes(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := check(args[0], config.Overrides{WithoutSecrets: withoutSecrets}, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil || !live {
				return err
			}
			return checkLive(cmd.Context(), args[0], s, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask the servers that the file names, too")
	cmd.Flags().BoolVar(&withoutSecrets, "without-secrets", false, "do without the variables and files that are not here")
	cmd.MarkFlagsMutuallyExclusive("live", "without-secrets")
	return cmd
}

func check(file string, o config.Overrides, out, errOut io.Writer) (*config.Snapshot, error) {
	s, err := config.Load(file, o)
	if problems, is := errors.AsType[config.Problems](err); is {
		if _, err := fmt.Fprintln(errOut, problems); err != nil {
			return nil, fmt.Errorf("print problems: %w", err)
		}
		return nil, fmt.Errorf("%s is not valid: %s", file, count(len(problems), "problem"))
	}
	if err != nil {
		return nil, err
	}
	for _, w := range s.Warnings {
		if _, err := fmt.Fprintf(errOut, "warning: %s\n", w); err != nil {
			return nil, fmt.Errorf("print warnings: %w", err)
		}
	}
	return s, report(out, file, s)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
