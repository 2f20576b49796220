package main

import (
	"context"
	"errors"
	"time"
)

// stockSettle is how long the load on the stock runs before the measurement.
const stockSettle = 10 * time.Second

// measureStock measures reads and writes of the stock, without the proxy and with it.
func (sc *scene) measureStock(ctx context.Context, r *report) (err error) {
	o := startOrigin(sc.db, 0)
	defer o.Close()
	load := newReader(sc.popularity, sc.options.seed)
	load.stock, load.writes = true, sc.options.writes
	send := func(ctx context.Context, url string, d time.Duration) (traffic, error) {
		return load.steady(ctx, url, sc.options.stockRate, d)
	}
	progress("stock: measuring at %d requests/s for %v, without the proxy and with it", sc.options.stockRate, sc.options.duration)
	if _, err := send(ctx, o.URL, settle); err != nil {
		return err
	}
	alone := row{name: "stock, shop alone"}
	alone.work, err = sc.watch(ctx, 0, func(ctx context.Context) (traffic, error) { return send(ctx, o.URL, sc.options.duration) })
	if err != nil {
		return err
	}
	r.rows = append(r.rows, alone)
	if sc.options.directOnly {
		return nil
	}
	p, err := startProxy(ctx, sc.binary, sc.dir, o.URL, time.Minute)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	through := row{name: "stock, proxy", proxied: true, beside: len(r.rows) - 1}
	if _, err := send(ctx, p.URL, stockSettle); err != nil {
		return err
	}
	before, err := scrape(ctx, p.Cacheproxy, stockName)
	if err != nil {
		return err
	}
	through.work, err = sc.watch(ctx, p.Process.PID(), func(ctx context.Context) (traffic, error) { return send(ctx, p.URL, sc.options.duration) })
	if err != nil {
		return err
	}
	after, err := scrape(ctx, p.Cacheproxy, stockName)
	if err != nil {
		return err
	}
	through.outcomes = after.since(before)
	r.rows = append(r.rows, through)
	return nil
}
