package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// takes wants n arguments. Its error shows the command's usage.
func takes(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == n:
			return nil
		case len(args) > n:
			return fmt.Errorf("%q is one argument too many; write: %s", args[n], cmd.UseLine())
		}
		return fmt.Errorf("%s missing; write: %s", count(n-len(args), "argument"), cmd.UseLine())
	}
}

// flagError adds to an error of flags where they are explained.
func flagError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w; write: %s, or see %s --help", err, cmd.UseLine(), cmd.CommandPath())
}
