package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

const (
	// connectTimeout bounds an attempt to reach one host, where the URL does not (connect_timeout).
	connectTimeout = 5 * time.Second
	// lookTimeout bounds a statement, after which the server is asked to cancel it; fullTimeout one that may have to read past
	// everything that is dead.
	lookTimeout, fullTimeout = 5 * time.Second, time.Minute
	// cancelGrace is how long the server has to obey. Then the connection is given up.
	cancelGrace = time.Second
)

// connect makes a connection, trying the hosts in turn. Nothing that is set here lives in a session, so that every statement may run on
// another connection of a pooler. What source says is asked for anew each time, so that a password file that was replaced counts.
func connect(ctx context.Context, source func() (*pgx.ConnConfig, error), changes ...func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	c, err := source()
	if err != nil {
		return nil, fmt.Errorf("postgres.url %w", err)
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.ValidateConnect == nil {
		// Of several hosts, a standby has the rows too, and can delete none.
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
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

// canceling has the server asked to cancel a statement whose context ends. Else the connection ends, and the server goes on until it
// notices.
func canceling(c *pgx.ConnConfig) {
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelGrace}
	}
}

// hangUp ends a connection without waiting for a server that may not answer.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), cancelGrace)
	defer cancel()
	_ = conn.Close(ctx) // it is of no use any more either way
}
