package postgres

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
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
