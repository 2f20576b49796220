// Package bench is the shared part of the benchmarks in the folders below: how their commands start, send load, and
// print results.
package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"cacheproxy/test/servers"
)

// Main is the main function of a command. run gets a context that an interrupt ends, and the arguments. An error of run
// is printed and makes the exit status 1.
func Main(name string, run func(ctx context.Context, args []string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// InFolder runs do in a temporary folder and removes the folder afterwards.
func InFolder(name string, do func(dir string) error) (err error) {
	dir, err := os.MkdirTemp("", name+"-")
	if err != nil {
		return fmt.Errorf("make working folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return do(dir)
}

// Flags are a command's flags, with the flag that all commands share.
type Flags struct {
	*flag.FlagSet
	binary string
}

// NewFlags makes the flags for the command in test/system/bench/name.
func NewFlags(name string) *Flags {
	f := &Flags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	f.StringVar(&f.binary, "cacheproxy", "", "the proxy's binary; empty: build ./cmd/cacheproxy")
	return f
}

// Parse reads the command line, which has flags only.
func (f *Flags) Parse(args []string) error {
	if err := f.FlagSet.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return nil
}

// Binary is the proxy's binary: the one named by the flag, or a new build in dir.
func (f *Flags) Binary(ctx context.Context, dir string) (string, error) {
	if f.binary != "" {
		return f.binary, nil
	}
	return servers.BuildCacheproxy(ctx, dir)
}

// Command is the command line for a repetition, with every flag, also those with default values. The binary is left
// out: another machine builds its own.
func (f *Flags) Command() string {
	words := []string{"go run -C test/system ./bench/" + f.Name()}
	f.VisitAll(func(one *flag.Flag) {
		if one.Name != "cacheproxy" {
			words = append(words, fmt.Sprintf("--%s=%s", one.Name, one.Value))
		}
	})
	return strings.Join(words, " ")
}
