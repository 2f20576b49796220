package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// Probe checks every address once, concurrently, and then calls tell for each with the error; nil: it works. The check is the health check, if there is
// one, and otherwise connecting, including the TLS handshake for https.
func (u *Upstream) Probe(ctx context.Context, tell func(address string, err error)) {
	ask := u.connect
	if u.options.Health.Path != "" {
		ask = u.check
	}
	all := u.balancer.addresses
	errs := make([]error, len(all))
	var probes sync.WaitGroup
	for i, a := range all {
		probes.Go(func() { errs[i] = ask(ctx, a) })
	}
	probes.Wait()
	for i, a := range all {
		tell(a.url.Host, errs[i])
	}
}

func (u *Upstream) connect(ctx context.Context, a *address) error {
	ctx, cancel := context.WithTimeout(ctx, 2*u.options.DialTimeout)
	defer cancel()
	port := cmp.Or(a.url.Port(), map[string]string{"https": "443"}[a.url.Scheme], "80")
	conn, err := u.plain.anew.DialContext(ctx, "tcp", net.JoinHostPort(a.url.Hostname(), port))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	if a.url.Scheme != "https" {
		return nil
	}
	c := &tls.Config{}
	if u.options.TLS != nil {
		c = u.options.TLS.Clone()
	}
	c.ServerName = cmp.Or(c.ServerName, a.url.Hostname())
	if err := tls.Client(conn, c).HandshakeContext(ctx); err != nil {
		return fmt.Errorf("agree on TLS: %w", err)
	}
	return nil
}
