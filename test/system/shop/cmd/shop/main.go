// Command shop runs the sample shop on a PostgreSQL of your own, to try the
// proxy in front of it:
//
//	createdb shop
//	go run -C test/system ./shop/cmd/shop --database-url postgres:///shop --seed 100000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"
	"cacheproxy/test/system/shop"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:9000", "where clients connect; port 0 takes a free one")
	databaseURL := flags.String("database-url", os.Getenv("DATABASE_URL"), "PostgreSQL database; default: $DATABASE_URL")
	seed := flags.Int("seed", 0, "make the tables and fill them with this many products first, unless they are there; 0: they are")
	maxAge := flags.Duration("max-age", 10*time.Minute, "max-age of a product's Cache-Control; 0: send none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *databaseURL == "":
		return errors.New("no database: give --database-url or set DATABASE_URL")
	case *seed < 0 || *maxAge < 0:
		return errors.New("--seed and --max-age must not be negative")
	}
	db, err := shop.Open(ctx, *databaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if *seed > 0 {
		if err := fill(ctx, db, *seed, log); err != nil {
			return err
		}
	}
	return serve(ctx, *listen, demo.New(db, demo.Options{MaxAge: *maxAge, Log: log}), log)
}

// fill makes and fills the tables of a new database. One that has them is left as it is, so that the shop can be started
// again with the same arguments.
func fill(ctx context.Context, db *shop.Database, products int, log *slog.Logger) error {
	created, err := db.Created(ctx)
	if err != nil || created {
		return err
	}
	started := time.Now()
	if err := db.Create(ctx, products); err != nil {
		return err
	}
	log.Info("seeded", "products", products, "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// serve answers requests until ctx ends, then finishes those in flight.
func serve(ctx context.Context, address string, handler http.Handler, log *slog.Logger) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("listening", "url", "http://"+listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
