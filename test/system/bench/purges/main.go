// Command purges measures how purges scale: the cost of a purge beside few copies and beside many, each with several
// names; the fate of other copies when more names are purged than an instance tells apart; the cost of a hit on a copy
// with thousands of names while other names are purged; and the time that an instance takes to start behind a long log.
// The command starts the proxy, an origin that answers at once, and for the last measurement a Valkey.
//
//	go run -C test/system ./bench/purges
//	go run -C test/system ./bench/purges --copies 100000 --purged 300000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"

	"cacheproxy/test/system/bench"
)

func main() { bench.Main("bench-purges", run) }

type options struct {
	few, copies int // copies at each measurement of purges
	names       int // tags of each of them
	purged      int // names purged in addition, each once
	wide        int // tags of the copy with many tags
	rate        int // purges per second beside its hits
	entries     int // of the log behind which an instance starts

	flags *bench.Flags
}

func parseOptions(args []string) (o options, err error) {
	o.flags = bench.NewFlags("purges")
	o.flags.IntVar(&o.few, "few", 10_000, "copies at first")
	o.flags.IntVar(&o.copies, "copies", 1_000_000, "copies later")
	o.flags.IntVar(&o.names, "names", 10, "tags of each copy")
	o.flags.IntVar(&o.purged, "purged", 3_000_000, "names that no copy has, and that are purged")
	o.flags.IntVar(&o.wide, "wide", 3000, "tags of the copy that has many")
	o.flags.IntVar(&o.rate, "rate", 1000, "purges per second beside hits of that copy")
	o.flags.IntVar(&o.entries, "entries", 1_000_000, "entries of the log behind which an instance starts")
	if err := o.flags.Parse(args); err != nil {
		return o, err
	}
	if o.few < sample || o.copies < o.few+(steps+2)*sample || o.names < 1 || o.purged < 0 || o.wide < 1 || o.rate < 1 || o.entries < 0 {
		return o, fmt.Errorf("--few has to be %d at least and --copies %d more, --names, --wide and --rate positive, the others not negative", sample, (steps+2)*sample)
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) || err != nil {
		return err
	}
	return bench.InFolder("bench-purges", func(dir string) error {
		binary, err := o.flags.Binary(ctx, dir)
		if err != nil {
			return err
		}
		var out bench.Report
		fmt.Fprintf(&out, "%d cores (%s), %s; client, origin, proxy and Valkey share them.\n\n", runtime.NumCPU(), bench.CPUModel(), runtime.Version())
		if err := measureCopies(ctx, o, binary, dir, &out); err != nil {
			return err
		}
		if err := measureStart(ctx, o, binary, dir, &out); err != nil {
			return err
		}
		fmt.Fprintf(&out, "\nCommand: %s\n", o.flags.Command())
		return out.Print(os.Stdout)
	})
}
