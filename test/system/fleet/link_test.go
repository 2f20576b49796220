package fleet

import (
	"context"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Link is the network between a member and Valkey, which can be made worse.
type Link struct {
	proxy *toxiproxy.Proxy
}

// NewLink makes a link to an address, with an address of its own on this machine.
func NewLink(to string) (*Link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "valkey", "127.0.0.1:0", to)
	if err := p.Start(); err != nil {
		return nil, fmt.Errorf("open link to %s: %w", to, err)
	}
	return &Link{p}, nil
}

// Address is where the member connects.
func (l *Link) Address() string { return l.proxy.Listen }

// Close ends the link.
func (l *Link) Close() { l.proxy.Stop() }

// Swallow lets nothing through for a while in either direction, and tells nobody: connections stay as they are.
func (l *Link) Swallow(ctx context.Context, d time.Duration) error {
	return l.spoil(ctx, d, `{"name":"down","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`,
		`{"name":"up","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`)
}

// SwallowAnswers lets questions through but no answers.
func (l *Link) SwallowAnswers(ctx context.Context, d time.Duration) error {
	return l.spoil(ctx, d, `{"name":"down","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
}

// Delay makes everything late for a while.
func (l *Link) Delay(ctx context.Context, d, late time.Duration) error {
	return l.spoil(ctx, d, fmt.Sprintf(`{"name":"late","type":"latency","stream":"downstream","attributes":{"latency":%d,"jitter":%d}}`,
		late.Milliseconds(), late.Milliseconds()/2))
}

func (l *Link) spoil(ctx context.Context, d time.Duration, toxics ...string) error {
	for _, t := range toxics {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(t)); err != nil {
			return fmt.Errorf("spoil link: %w", err)
		}
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	l.proxy.Toxics.ResetToxics(context.WithoutCancel(ctx))
	return nil
}
