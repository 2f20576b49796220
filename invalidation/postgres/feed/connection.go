package feed

import (
	"context"
	"fmt"
	"time"

	"cacheproxy/invalidation/postgres"

	"github.com/jackc/pgx/v5"
)

const (
	// lookTimeout bounds a statement; the server is then asked to cancel the statement. fullTimeout bounds a statement
	// that may have to read past all dead rows.
	lookTimeout, fullTimeout = 5 * time.Second, time.Minute
)

// connect makes a connection, trying the hosts in turn. The configuration sets nothing in the session but
// client_encoding, which poolers follow, so that every statement may run on another connection of a pooler. source is
// called for each connection, so that a replaced password file takes effect.
func connect(ctx context.Context, source func() (*pgx.ConnConfig, error), changes ...func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	c, err := postgres.Writable(source)
	if err != nil {
		return nil, err
	}
	postgres.InUTF8(c)
	for _, change := range changes {
		change(c)
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return conn, nil
}
