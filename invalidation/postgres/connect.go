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
	// connectTimeout bounds an attempt to reach one host, unless the URL has a bound (connect_timeout).
	connectTimeout = 5 * time.Second
	// CancelGrace is how long the server has to end a statement after a request to cancel the statement. The connection
	// is closed after that.
	CancelGrace = time.Second
)

// ParseURL parses where a database is: a URL or a list of keys and values of libpq, with several hosts,
// target_session_attrs, TLS and password files. The environment variables of libpq fill in what url leaves out. A
// non-empty password replaces the password in url. Connections prepare no statements, so that they work through a
// pooler. The error repeats nothing of the URL except names of files.
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
	if c.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement { // default of the library
		c.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "cacheproxy"
	}
	return c, nil
}

// Writable returns the configuration from source, restricted to servers that take writes. A standby among several hosts
// has the rows too, and can neither write nor delete rows.
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

// Canceling makes a connection ask the server to cancel a statement whose context ends. Otherwise the connection
// closes, and the server continues until it notices.
func Canceling(c *pgx.ConnConfig) {
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: CancelGrace}
	}
}

// InUTF8 makes a connection exchange texts in UTF-8, as Go does. Without InUTF8 the server sends texts in the encoding of
// the database, or of the URL: a value in LATIN1 would render to a name that no copy has. A database in SQL_ASCII stays
// as it is: its texts may be in any encoding, and the server would refuse to send those that are not UTF-8. A session
// whose encoding is UTF-8 already costs no statement. A pooler keeps client_encoding for each of its clients.
func InUTF8(c *pgx.ConnConfig) {
	c.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if conn.ParameterStatus("client_encoding") == "UTF8" || conn.ParameterStatus("server_encoding") == "SQL_ASCII" {
			return nil
		}
		_, err := conn.Exec(ctx, "SET client_encoding TO 'UTF8'").ReadAll()
		if err != nil {
			return fmt.Errorf("set client_encoding: %w", err)
		}
		return nil
	}
}

// HangUp closes a connection, and waits at most CancelGrace for a server that may not answer.
func HangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), CancelGrace)
	defer cancel()
	_ = conn.Close(ctx) // an error changes nothing for the caller
}
