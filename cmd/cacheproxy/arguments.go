package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// takes wants so many arguments, and says how the command is written where there are others.
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

// flagError says where flags are explained.
func flagError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w; write: %s, or see %s --help", err, cmd.UseLine(), cmd.CommandPath())
}
