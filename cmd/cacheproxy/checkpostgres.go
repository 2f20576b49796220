package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"cacheproxy/config"
	"cacheproxy/invalidation/postgres"
	"cacheproxy/policy"
)

// reportPostgres prints which changes of the database make which copies unusable.
func reportPostgres(t table, p *config.Postgres) {
	t.title("postgres")
	t.row("server", p.Shown())
	if len(p.Mappings) == 0 {
		t.row("changes", "none are looked for")
		return
	}
	if p.Slot != "" {
		t.row("source", "slot "+p.Slot+", publication "+p.Publication)
	}
	t.row("changes", fmt.Sprintf("looked for every %s; unseen for more than %s, copies that they feed are fresh for %s",
		config.DurationText(p.Poll), config.DurationText(p.MaxLag), config.DurationText(p.DownTTL)))
	for _, m := range p.Mappings {
		events := make([]string, len(m.On))
		for i, e := range m.On {
			events[i] = string(e)
		}
		when := strings.Join(events, ", ")
		if len(m.Watched) > 0 {
			when += ", an update where one of " + strings.Join(m.Watched, ", ") + " changes, or one that a name has in it"
		}
		if m.Replicated {
			when += ", and what replication brings"
		}
		name := "table " + m.Schema + "." + m.Table
		t.row(name, when)
		for _, of := range []struct {
			kind      policy.MemberKind
			templates []policy.Template
		}{{policy.KindKey, m.Names.Keys}, {policy.KindTag, m.Names.Tags}, {policy.KindURL, m.Names.URLs}, {policy.KindPrefix, m.Names.Prefixes}} {
			for _, template := range of.templates {
				t.rowf("", "purges %s %s", of.kind, template)
			}
		}
		t.rowf("", "purges %s, which all copies of %s have, for rows that are too many to name", m.Whole(), strings.Join(m.Fed, ", "))
		if m.Lossy {
			t.row("", "a statement whose change cannot be told goes on: copies are confirmed once that is seen, and what was fetched before it could be read stays until it expires")
		}
	}
}

// checkPostgres compares the database with a valid configuration and counts the differences.
func checkPostgres(ctx context.Context, file string, s *config.Snapshot, t table, problems *bytes.Buffer) (wrong int) {
	t.row("postgres", s.Postgres.Shown())
	var steps []postgres.Step
	_, conn, err := openDatabase(ctx, file, "")
	if err == nil {
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it only reads
		steps, err = wantOf(s).Plan(ctx, conn)
	}
	if err == nil {
		var warnings []string
		warnings, err = wantOf(s).Warnings(ctx, conn)
		for _, w := range warnings {
			t.row("warning", w)
		}
	}
	switch {
	case errors.As(err, new(*postgres.Refusal)): // each refusal has the line of its feed
		all := refusals(file, err).Error()
		fmt.Fprintln(problems, all) // the buffer does not fail
		return 1 + strings.Count(all, "\n")
	case err != nil:
		fmt.Fprintf(problems, "%s: postgres: %v\n", file, err)
		return 1
	}
	all := wrongIn(steps)
	for _, w := range all {
		fmt.Fprintf(problems, "%s: postgres: %s; run cacheproxy pg install %s\n", file, w, file)
	}
	if len(all) == 0 {
		t.row("installation", "as the file has it")
	}
	return len(all)
}
