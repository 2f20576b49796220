package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"cacheproxy/config"
	"cacheproxy/proxy/upstream"

	inspect "cacheproxy/cmd/cacheproxy/valkey"
)

// checkLive inspects the servers of a valid configuration. Findings without a fault go to the output, the others to the
// error output. The error counts broken promises.
func checkLive(ctx context.Context, file string, s *config.Snapshot, out, errOut io.Writer) error {
	t, problems := newTable(), bytes.Buffer{}
	t.title("servers, asked just now")
	wrong := 0
	if s.Valkey == nil {
		t.row("valkey", "none is configured: there is nothing to ask")
	} else {
		t.row("valkey", s.Valkey.Shown())
		wrong = printFindings(t, &problems, file+": valkey", inspect.Inspect(ctx, useOf(s)))
	}
	wrong += checkRecords(ctx, file, s, t, &problems)
	if s.Postgres != nil {
		wrong += checkPostgres(ctx, file, s, t, &problems)
	}
	for _, o := range s.Upstreams {
		upstream.New(o).Probe(ctx, func(address string, err error) {
			switch {
			case err != nil:
				fmt.Fprintf(&problems, "%s: upstream %s: %s: %v\n", file, o.Name, address, err) // the buffer does not fail
				wrong++
			case o.Health.Path != "":
				t.row("upstream "+o.Name, address+" answers "+o.Health.Path)
			default:
				t.row("upstream "+o.Name, address+" can be connected to")
			}
		})
	}
	if err := t.print(out); err != nil {
		return err
	}
	if _, err := errOut.Write(problems.Bytes()); err != nil {
		return fmt.Errorf("print findings: %w", err)
	}
	if wrong > 0 {
		return fmt.Errorf("%s does not fit its servers: %s", file, count(wrong, "problem"))
	}
	return nil
}

// printFindings prints each finding to its output and counts the wrong ones. Problems begin with where.
func printFindings(t table, problems io.Writer, where string, all []inspect.Finding) (wrong int) {
	for _, f := range all {
		switch f.Level {
		case inspect.Fine:
			t.row(f.Topic, f.Text)
		case inspect.Warning:
			fmt.Fprintf(problems, "warning: %s: %s: %s\n", where, f.Topic, f.Text) // the buffer below does not fail
		default:
			fmt.Fprintf(problems, "%s: %s: %s\n", where, f.Topic, f.Text)
			wrong++
		}
	}
	return wrong
}

func useOf(s *config.Snapshot) inspect.Use {
	v := s.Valkey
	use := inspect.Use{Server: v.Server, Prefix: v.Prefix, Timeout: v.Timeout, Lease: v.Lease, Replicas: v.Replicas}
	for _, rules := range s.Behind {
		if !slices.Contains(use.Queued, rules.Durability) {
			use.Queued = append(use.Queued, rules.Durability)
		}
	}
	slices.Sort(use.Queued)
	return use
}
