package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// statements counts PostgreSQL's statements over a connection of its own, so that a shop that uses up its connections
// cannot delay the count.
type statements struct {
	conn *pgx.Conn
}

// countStatements needs pg_stat_statements among shared_preload_libraries.
func countStatements(ctx context.Context, url string) (*statements, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("count statements: %w", err)
	}
	s := &statements{conn}
	if _, err := conn.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"); err != nil {
		return nil, fmt.Errorf("count statements: %w (is PostgreSQL's contrib package installed?)", joinClose(ctx, conn, err))
	}
	return s, nil
}

func joinClose(ctx context.Context, conn *pgx.Conn, err error) error {
	if closeErr := conn.Close(ctx); closeErr != nil {
		return fmt.Errorf("%w, and closing the connection: %w", err, closeErr)
	}
	return err
}

// Count returns the number of statements since the server started, without those of statements itself.
func (s *statements) Count(ctx context.Context) (int64, error) {
	var calls int64
	err := s.conn.QueryRow(ctx, "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'").Scan(&calls)
	if err != nil {
		return 0, fmt.Errorf("count statements: %w", err)
	}
	return calls, nil
}

// Version is the version of the server.
func (s *statements) Version() string {
	return s.conn.PgConn().ParameterStatus("server_version")
}

func (s *statements) Close(ctx context.Context) error { return s.conn.Close(ctx) }
