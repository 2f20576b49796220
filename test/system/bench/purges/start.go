package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cacheproxy/test/servers"
	"cacheproxy/test/system/bench"
)

// measureStart starts an instance behind a long log of another instance, which keeps running.
func measureStart(ctx context.Context, o options, binary, dir string, out *bench.Report) (err error) {
	where := filepath.Join(dir, "valkey")
	if err := os.Mkdir(where, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	valkey, err := servers.StartValkey(ctx, where, servers.ValkeyOptions{})
	if err != nil {
		return err
	}
	defer valkey.Kill()
	more := fmt.Sprintf("valkey: {url: \"valkey://%s\", prefix: purges}\n", valkey.Address())
	first, err := begin(ctx, o, binary, filepath.Join(dir, "first"), more)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, first.end()) }()
	fmt.Fprint(out, "\nTime of an instance from its start until it is ready, behind a log of so many names:\n")
	const looks, perCall = 2, 1000
	for step := range looks + 1 {
		for at := o.entries * max(step-1, 0) / looks; at < o.entries*step/looks; at += perCall {
			var names []string
			for n := at; n < min(at+perCall, o.entries*step/looks); n++ {
				names = append(names, tag("log", n))
			}
			if _, err := first.purge(ctx, names...); err != nil {
				return err
			}
		}
		start := time.Now()
		second, err := begin(ctx, o, binary, filepath.Join(dir, fmt.Sprint("second", step)), more)
		if err != nil {
			return err
		}
		took := time.Since(start)
		marks, err := second.proxy.Gauge(ctx, "cacheproxy_ledger_members")
		if err = errors.Join(err, second.end()); err != nil {
			return err
		}
		fmt.Fprintf(out, "%9d names  %8.0f marks  %s\n", o.entries*step/looks, marks, bench.Milliseconds(took))
	}
	return nil
}
