package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

const (
	// connectTimeout bounds an attempt to reach one host, where the URL does not (connect_timeout).
	connectTimeout = 5 * time.Second
	// CancelGrace is how long the server has to give up a statement that it was asked to cancel. Then the connection is given up.
	CancelGrace = time.Second
)

// ParseURL says where a database is: a URL or a list of keys and values as libpq has them, with several hosts, target_session_attrs, TLS
// and password files; what it leaves out comes from the environment variables of libpq. A password beside it wins. Connections prepare
// no statements, so that they work through a pooler. The error repeats nothing of the URL but the names of files.
func ParseURL(url, password string) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(url)
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("names a file that cannot be read: %w", file)
	}
	if err != nil {
		return nil, errors.New("is not a connection string of PostgreSQL; write postgres://user@host:5432/database?sslmode=verify-full")
	}
	if password != "" {
		c.Password = password
	}
	if c.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement { // the library's default
		c.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "cacheproxy"
	}
	return c, nil
}

// Writable is what source says, for connections to a server that takes writes. Of several hosts, a standby has the rows too, and can neither
// take nor delete any.
func Writable(source func() (*pgx.ConnConfig, error)) (*pgx.ConnConfig, error) {
	c, err := source()
	if err != nil {
		return nil, fmt.Errorf("postgres.url %w", err)
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.ValidateConnect == nil {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return c, nil
}

// Canceling has the server asked to cancel a statement whose context ends. Else the connection ends, and the server goes on until it
// notices.
func Canceling(c *pgx.ConnConfig) {
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: CancelGrace}
	}
}

// HangUp ends a connection without waiting for a server that may not answer.
func HangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), CancelGrace)
	defer cancel()
	_ = conn.Close(ctx) // it is of no use any more either way
}
