package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cacheproxy/test/servers"
	"cacheproxy/test/system/bench"
	"cacheproxy/test/system/shop"
)

// scene is the system that every load is measured against.
type scene struct {
	options    options
	dir        string
	binary     string
	postgres   *servers.PostgresServer
	db         *shop.Database
	statements *statements
	popularity bench.Zipf
}

// setUp starts PostgreSQL and fills the database. PostgreSQL waits for the disk as in production.
func setUp(ctx context.Context, dir string, o options) (_ *scene, err error) {
	sc := &scene{options: o, dir: dir, popularity: bench.NewZipf(o.products, o.exponent)}
	defer func() {
		if err != nil {
			err = errors.Join(err, sc.tearDown())
		}
	}()
	if !o.directOnly {
		progress("building cacheproxy")
		if sc.binary, err = o.flags.Binary(ctx, dir); err != nil {
			return nil, err
		}
	}
	progress("starting PostgreSQL and filling it with %d products", o.products)
	data := filepath.Join(dir, "postgres")
	// The server may run as another user, who has to reach its folder.
	if err = errors.Join(os.Chmod(dir, 0o711), os.Mkdir(data, 0o700)); err != nil {
		return nil, fmt.Errorf("make folder for PostgreSQL: %w", err)
	}
	sc.postgres, err = servers.StartPostgres(ctx, data, "fsync=on", "synchronous_commit=on", "full_page_writes=on",
		"shared_buffers=512MB", "max_wal_size=4GB", "shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_utility=off")
	if err != nil {
		return nil, err
	}
	if sc.db, err = shop.Open(ctx, sc.postgres.URL()+"&pool_max_conns=16"); err != nil {
		return nil, err
	}
	if err = sc.db.Create(ctx, o.products); err != nil {
		return nil, err
	}
	sc.statements, err = countStatements(ctx, sc.postgres.URL())
	return sc, err
}

func (sc *scene) tearDown() error {
	var errs []error
	if sc.statements != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		errs = append(errs, sc.statements.Close(ctx))
	}
	if sc.db != nil {
		sc.db.Close()
	}
	if sc.postgres != nil {
		errs = append(errs, sc.postgres.Stop())
	}
	return errors.Join(errs...)
}

// work is the cost of a load for PostgreSQL and the proxy.
type work struct {
	rate       int // requests/s sent, where that is not the wanted rate
	traffic    traffic
	statements int64
	postgres   time.Duration // CPU time
	proxy      time.Duration // CPU time; 0 without the proxy
}

// watch measures the cost of load. proxyPID is 0 without the proxy.
func (sc *scene) watch(ctx context.Context, proxyPID int, load func(context.Context) (traffic, error)) (work, error) {
	before, err := sc.sample(ctx, proxyPID)
	if err != nil {
		return work{}, err
	}
	t, err := load(ctx)
	if err != nil {
		return work{}, err
	}
	after, err := sc.sample(ctx, proxyPID)
	if err != nil {
		return work{}, err
	}
	return work{
		traffic:    t,
		statements: after.statements - before.statements,
		postgres:   after.postgres - before.postgres,
		proxy:      after.proxy - before.proxy,
	}, nil
}

func (sc *scene) sample(ctx context.Context, proxyPID int) (w work, err error) {
	if w.statements, err = sc.statements.Count(ctx); err != nil {
		return work{}, err
	}
	if w.postgres, err = bench.CPUOfTree(sc.postgres.PID()); err != nil {
		return work{}, err
	}
	if proxyPID != 0 {
		w.proxy, err = bench.CPUOfTree(proxyPID)
	}
	return w, err
}

// progress reports progress on standard error; only the report goes to standard output.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench-shop: "+format+"\n", args...)
}
