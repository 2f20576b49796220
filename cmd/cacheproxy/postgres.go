package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"cacheproxy/config"
	"cacheproxy/invalidation/postgres"
	"cacheproxy/leaderboard/archive"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
)

// connectTimeout bounds connecting to a database, all of its hosts together.
const connectTimeout = 30 * time.Second

// pgAction is the action of a command on the database of a file.
type pgAction func(cmd *cobra.Command, file string, s *config.Snapshot, conn *pgx.Conn) error

func pgCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pg",
		Short: "Install in PostgreSQL what tells the proxy of changes, and check it",
		Long: `Install in PostgreSQL what tells the proxy of changes to the tables under postgres.feeds, and check it.

All of it is in the schema cacheproxy, and in triggers on these tables whose names begin with cacheproxy_; with source: logical, it is a
publication and a replication slot, and what tables send of old rows. Where a route has an archive of its leaderboards, that is in the
schema leaderboard_archive. Run it again after each
change of postgres.feeds, before instances get the new file, and whenever a table was made anew, or has got or lost a partition.`,
	}
	uninstall := pgSubcommand("uninstall", pgUninstall, "Take away all that install has made", `Take away all that install has made, and nothing else: in one transaction, and then, with source: logical, the slot and the
publication, each where the role may: it says what is left, and which role takes that away. Instances that have feeds are blind then. The archive of leaderboards stays, unless --archive is given: then it is gone, with all scores in it.`)
	uninstall.Flags().Bool("archive", false, "take away the archive of leaderboards too, with all scores in it")
	cmd.AddCommand(
		pgSubcommand("plan", pgPlan, "Print the SQL that install would run", `Print the SQL that install would run: exactly that, as a script for psql. Nothing is changed. Without anything to do it prints a
comment that says so.`),
		pgSubcommand("install", pgInstall, "Install, or bring to what the file says", `Install the triggers, functions and tables, or bring those that are there to what the file says, in one transaction. What is as it
should be is left alone. It waits for transactions that are changing a table for 5s in all, in three attempts of 2s at most, since
everybody who comes later waits behind it: then nothing has changed, and it can be run again.

The role of postgres.url gets the privileges that a consumer needs. Which the role that installs needs is in docs/postgresql.md.`),
		pgSubcommand("verify", pgVerify, "Compare the database with the file", `Compare what the catalog of the database says with the file: triggers that are missing, disabled or altered, functions that differ,
tables that were made anew, partitions that have come or gone since, columns that are gone, privileges that a role lacks. With any of these the exit status is 1.`),
		uninstall,
	)
	return cmd
}

func pgSubcommand(use string, run pgAction, short, long string) *cobra.Command {
	var database string
	cmd := &cobra.Command{
		Use: use + " FILE", Short: short, Long: long, Args: takes(1), SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, conn, err := openDatabase(cmd.Context(), args[0], database)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close(context.WithoutCancel(cmd.Context())) }() // all changes are committed
			return run(cmd, args[0], s, conn)
		},
	}
	cmd.Flags().StringVar(&database, "url", "", "connect as another role than postgres.url does: one that may install. Its password is better in PGPASSWORD or a passfile")
	return cmd
}

func pgPlan(cmd *cobra.Command, file string, s *config.Snapshot, conn *pgx.Conn) error {
	steps, err := wantOf(s).Plan(cmd.Context(), conn)
	if err != nil {
		return refusals(file, err)
	}
	if err := warn(cmd, file, s, conn); err != nil {
		return err
	}
	return printSQL(cmd.OutOrStdout(), steps)
}

// warn prints settings that may do harm although they match the file.
func warn(cmd *cobra.Command, file string, s *config.Snapshot, conn *pgx.Conn) error {
	warnings, err := wantOf(s).Warnings(cmd.Context(), conn)
	for _, w := range warnings {
		cmd.PrintErrf("%s: warning: %s\n", file, w)
	}
	return err
}

func pgInstall(cmd *cobra.Command, file string, s *config.Snapshot, conn *pgx.Conn) error {
	steps, err := wantOf(s).Install(cmd.Context(), conn)
	if err != nil {
		return refusals(file, err)
	}
	return printDone(cmd.OutOrStdout(), steps, s.Postgres.Shown()+" is as "+file+" has it already")
}

func pgVerify(cmd *cobra.Command, file string, s *config.Snapshot, conn *pgx.Conn) error {
	steps, err := wantOf(s).Plan(cmd.Context(), conn)
	if err != nil {
		return refusals(file, err)
	}
	if err := warn(cmd, file, s, conn); err != nil {
		return err
	}
	wrong := wrongIn(steps)
	for _, w := range wrong {
		if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", file, w); err != nil {
			return fmt.Errorf("print findings: %w", err)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s is not as %s has it: %s; see cacheproxy pg plan %s, and run cacheproxy pg install %s",
			s.Postgres.Shown(), file, count(len(wrong), "problem"), file, file)
	}
	return printDone(cmd.OutOrStdout(), nil, s.Postgres.Shown()+" is as "+file+" has it")
}

// pgUninstall leaves the archive of leaderboards, whose scores exist nowhere else, unless --archive is given.
func pgUninstall(cmd *cobra.Command, _ string, s *config.Snapshot, conn *pgx.Conn) error {
	var parts []postgres.Part
	nothing := "nothing is installed in " + s.Postgres.Shown()
	if with, _ := cmd.Flags().GetBool("archive"); with {
		parts = append(parts, archive.Layout{})
	} else if held, err := archive.Held(cmd.Context(), conn); err == nil && held {
		nothing = "nothing but the archive of leaderboards is installed in " + s.Postgres.Shown() + "; --archive takes it away, with all scores in it"
	}
	steps, err := postgres.Remove(cmd.Context(), conn, parts...)
	if s.Postgres.Slot != "" { // also where this role may not take away the rest, which another one can do
		slot, left := postgres.RemoveLogical(cmd.Context(), conn, s.Postgres.Logical)
		steps, err = append(steps, slot...), errors.Join(err, left)
	}
	if err != nil && len(steps) == 0 {
		return err
	}
	return errors.Join(printDone(cmd.OutOrStdout(), steps, nothing), err)
}

// openDatabase connects to the database of a file, or to the database and role of url.
func openDatabase(ctx context.Context, file, url string) (*config.Snapshot, *pgx.Conn, error) {
	s, err := config.Load(file, config.Overrides{})
	switch {
	case err != nil:
		return nil, nil, err
	case s.Postgres == nil:
		return nil, nil, fmt.Errorf("%s has no postgres: write it there, see docs/postgresql.md", file)
	}
	c := s.Postgres.Conn.Copy()
	if url != "" {
		if c, err = postgres.ParseURL(url, ""); err != nil {
			return nil, nil, fmt.Errorf("--url %w", err)
		}
	}
	postgres.InUTF8(c)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to database: %w", err)
	}
	return s, conn, nil
}

// wantOf is the installation that a configuration wants in its database.
func wantOf(s *config.Snapshot) *postgres.Installation {
	want := &postgres.Installation{Mappings: s.Postgres.Mappings, Notify: s.Postgres.Notify, Consumer: s.Postgres.Conn.User, Logical: s.Postgres.Logical}
	for _, b := range s.Boards {
		if b.Archive != nil {
			want.Parts = []postgres.Part{archive.Layout{}}
		}
	}
	return want
}

// refusals prefixes each line of a refusal with the file.
func refusals(file string, err error) error {
	if !errors.As(err, new(*postgres.Refusal)) {
		return err
	}
	return errors.New(file + ":" + strings.ReplaceAll(err.Error(), "\n", "\n"+file+":"))
}

// wrongIn lists the faults that the steps would mend, each once.
func wrongIn(steps []postgres.Step) (wrong []string) {
	for _, s := range steps {
		if !slices.Contains(wrong, s.Wrong) {
			wrong = append(wrong, s.Wrong)
		}
	}
	return wrong
}

// printSQL prints the steps as a script.
func printSQL(out io.Writer, steps []postgres.Step) error {
	var b strings.Builder
	if len(steps) == 0 {
		b.WriteString("-- everything is installed already\n")
	} else {
		for _, sql := range postgres.Begin() {
			b.WriteString(sql + ";\n")
		}
		said, after := "", false
		for _, s := range steps {
			if s.After && !after {
				after = true
				b.WriteString("\nCOMMIT;\n")
			}
			if s.Wrong != said {
				said = s.Wrong
				b.WriteString("\n-- " + comment(said) + "\n")
			}
			b.WriteString(s.SQL + ";\n")
		}
		if !after {
			b.WriteString("\nCOMMIT;\n")
		}
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("print plan: %w", err)
	}
	return nil
}

// comment is the text on one line, so that no name can end the SQL comment.
func comment(text string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(text) }

// printDone prints the statements that were run, or nothing where there were none.
func printDone(out io.Writer, steps []postgres.Step, nothing string) error {
	text := nothing + "\n"
	if len(steps) > 0 {
		text = "done: " + count(len(steps), "statement") + "\n"
		for _, s := range steps {
			line, _, _ := strings.Cut(s.SQL, "\n")
			text += "  " + comment(line) + "\n"
		}
	}
	if _, err := io.WriteString(out, text); err != nil {
		return fmt.Errorf("print what was done: %w", err)
	}
	return nil
}
