package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"
	"cacheproxy/cmd/cacheproxy/instance"
	"cacheproxy/config"

	"github.com/spf13/cobra"
)

//go:embed demo.yaml
var demoConfig string

const (
	demoProducts = 10_000

	// demoLatency is the median time of one product page as a join of ten tables, with 100,000 products on an idle
	// PostgreSQL 15 on the same machine (make bench-shop prints the time).
	demoLatency = 300 * time.Microsecond
)

func demoCommand() *cobra.Command {
	var listen, adminListen string
	cmd := &cobra.Command{
		Use:          "demo",
		Short:        "Run a sample shop with the proxy in front of it; nothing else is needed",
		Args:         takes(0),
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), listen, adminListen)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address of the data listener; another port is taken when it is in use")
	cmd.Flags().StringVar(&adminListen, "admin", "127.0.0.1:8081", "address of the admin listener; another port is taken when it is in use")
	return cmd
}

// runDemo runs shop, proxy and admin listener in this process until ctx ends.
func runDemo(ctx context.Context, out io.Writer, listen, adminListen string) (err error) {
	shopListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("open the shop's listener: %w", err)
	}
	shop := &http.Server{
		Handler:           demo.New(demo.NewMemory(demoProducts, demoLatency), demo.Options{MaxAge: 10 * time.Minute}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	shopEnded := make(chan error, 1)
	go func() { shopEnded <- shop.Serve(shopListener) }()
	defer func() {
		shop.Close()
		if ended := <-shopEnded; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, fmt.Errorf("serve shop: %w", ended))
		}
	}()
	text := strings.ReplaceAll(demoConfig, "${CACHEPROXY_DEMO_SHOP}", "http://"+shopListener.Addr().String())
	snapshot, err := config.Parse("demo.yaml", []byte(text), config.Overrides{})
	if err != nil {
		return err
	}
	logs := instance.NewLogs(snapshot.Log, snapshot.Log.Level, os.Stderr)
	defer beside(logs.Run)()
	logs.TakeOver()
	i, err := instance.New(instance.Options{
		Config: snapshot, Logs: logs, AccessLog: io.Discard, Build: buildVersion(),
	})
	if err != nil {
		return err
	}
	data, err := listenNear(listen)
	if err != nil {
		return fmt.Errorf("open data listener: %w", err)
	}
	admin, err := listenNear(adminListen)
	if err != nil {
		data.Close()
		return fmt.Errorf("open admin listener: %w", err)
	}
	printTour(out, "http://"+data.Addr().String(), "http://"+admin.Addr().String())
	return i.Serve(ctx, data, admin)
}

// listenNear listens on an address, or on another free port when another program has the port.
func listenNear(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	host, _, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		return nil, err
	}
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

// printTour prints the URL of the data listener on the first line, and then commands to try.
func printTour(w io.Writer, data, admin string) {
	fmt.Fprintf(w, `%[1]s

A shop with a ten-way join behind GET /products/{id} (%[3]v of work) is running, with the proxy in front. Try:

  curl -si %[1]s/products/17 | grep -iE '^(HTTP|Cache-Status|Age)'       # run it twice: a miss, then a hit
  curl -si -X DELETE %[2]s/keys/v2:product:17                            # purge it by its name
  curl -si -X PUT %[1]s/inventory/P0000017 -H 'Content-Type: application/json' -d '{"on_hand":5}'   # a write through the cache
  curl -si %[1]s/inventory/P0000017 | tail -n 1                            # never older than that write
  curl -s %[1]s/games/chess/scores -H 'Content-Type: application/json' -d '{"player":"ada","score":7}'   # kept and ranked by the proxy
  curl -s %[1]s/games/chess/leaderboard                                  # or watch it: %[1]s/games/chess
  curl -s '%[2]s/explain?url=%[1]s/products/17'   # what the proxy knows and would do

Metrics: %[2]s/metrics    End: Ctrl-C
`, data, admin, demoLatency)
}
