package main

import (
	"context"
	"time"
)

func runHTTP2(ctx context.Context, c cores, m material, l load, address string, duration time.Duration) (traffic, error) {
	return traffic{}, nil
}
