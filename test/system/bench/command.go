// Package bench is what the benchmarks in the folders below share: how their commands start, how they send load, and how
// they print what they saw.
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

// Main is the main function of a command. run gets a context that an interrupt ends, and the arguments; its error is
// printed and is the exit status.
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

// InFolder does something in a folder of its own, which is removed afterwards.
func InFolder(name string, do func(dir string) error) (err error) {
	dir, err := os.MkdirTemp("", name+"-")
	if err != nil {
		return fmt.Errorf("make working folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return do(dir)
}

// Flags are a command's flags, with the one that every command has.
type Flags struct {
	*flag.FlagSet
	binary string
}

// NewFlags makes them for the command in test/system/bench/name.
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

// Binary is the proxy's: the one that was named, or one that is built in a folder.
func (f *Flags) Binary(ctx context.Context, dir string) (string, error) {
	if f.binary != "" {
		return f.binary, nil
	}
	return servers.BuildCacheproxy(ctx, dir)
}

// Command is the command line that measures the same again, with every flag, also those left at default. Only the binary is
// not named: another machine builds its own.
func (f *Flags) Command() string {
	words := []string{"go run -C test/system ./bench/" + f.Name()}
	f.VisitAll(func(one *flag.Flag) {
		if one.Name != "cacheproxy" {
			words = append(words, fmt.Sprintf("--%s=%s", one.Name, one.Value))
		}
	})
	return strings.Join(words, " ")
}
