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

// parse reads a connection string or URL as libpq does, and with it the files and the environment that it names: anew for every
// connection, so that a password file that was replaced counts. Nothing that is set here lives in a session, so that every statement may
// run on another connection of a pooler.
func parse(url string) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read postgres.url: %w", err) // pgx leaves the password out
	}
	// A statement that was prepared under a name lives in one session, which a pooler may give to somebody else.
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.ValidateConnect == nil {
		// Of several hosts, a standby has the rows too, and can delete none.
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "cacheproxy"
	}
	return c, nil
}

// canceling has the server asked to cancel a statement whose context ends. Else the connection ends, and the server goes on until it
// notices.
func canceling(c *pgx.ConnConfig) {
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelGrace}
	}
}

// connect makes a connection, trying the hosts in turn.
func connect(ctx context.Context, url string, change ...func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	c, err := parse(url)
	if err != nil {
		return nil, err
	}
	for _, f := range change {
		f(c)
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return conn, nil
}

// hangUp ends a connection without waiting for a server that may not answer.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), cancelGrace)
	defer cancel()
	_ = conn.Close(ctx) // it is of no use any more either way
}
