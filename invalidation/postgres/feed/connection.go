package feed

import (
	"context"
	"fmt"
	"time"

	"cacheproxy/invalidation/postgres"

	"github.com/jackc/pgx/v5"
)

const (
	// lookTimeout bounds a statement, after which the server is asked to cancel it; fullTimeout one that may have to read past
	// everything that is dead.
	lookTimeout, fullTimeout = 5 * time.Second, time.Minute
)

// connect makes a connection, trying the hosts in turn. Nothing that is set here lives in a session, so that every statement may run on
// another connection of a pooler. What source says is asked for anew each time, so that a password file that was replaced counts.
func connect(ctx context.Context, source func() (*pgx.ConnConfig, error), changes ...func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	c, err := postgres.Writable(source)
	if err != nil {
		return nil, err
	}
	for _, change := range changes {
		change(c)
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return conn, nil
}
