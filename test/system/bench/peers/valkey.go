package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/test/system/bench"

	"github.com/valkey-io/valkey-go"
)

// leastInValkey is the least share of requests that have to find their copy in Valkey, for loads on Valkey.
const leastInValkey = 0.8

// bareGet is the loop that gets the body of each answer from Valkey: the least cost of a copy in Valkey for a server in
// Go.
const bareGet = "loop+GET"

// bareGetPeer is the limit of a load on Valkey. The bodies are written to Valkey before the peer starts.
func bareGetPeer() peer {
	p := limit(bareGet, func(l load) bool { return l.valkey })
	p.start = func(ctx context.Context, b *bed, _ string) (*server, error) {
		if err := writeBodies(ctx, b.valkey.Address(), b.load); err != nil {
			return nil, err
		}
		return startLimit(ctx, bareGet, b.cores.Server, "--valkey", b.valkey.Address())
	}
	return p
}

// bodyKey is the key of the body of the answer to a path. The keys of proxies begin with the names of their folders.
func bodyKey(path string) string { return bareGet + ":" + path }

// writeBodies writes the body of each answer of a load to Valkey.
func writeBodies(ctx context.Context, address string, l load) error {
	c, err := newValkeyClient(address)
	if err != nil {
		return err
	}
	defer c.Close()
	body := bodies[strconv.Itoa(l.size)]
	for some := range slices.Chunk(l.paths(), 500) {
		var commands valkey.Commands
		for _, path := range some {
			commands = append(commands, c.B().Set().Key(bodyKey(path)).Value(body).Build())
		}
		for _, reply := range c.DoMulti(ctx, commands...) {
			if err := reply.Error(); err != nil {
				return fmt.Errorf("write bodies of %s: %w", bareGet, err)
			}
		}
	}
	return nil
}

// newValkeyClient makes a client with default settings, which pipelines concurrent commands.
func newValkeyClient(address string) (valkey.Client, error) {
	c, err := valkey.NewClient(valkey.ClientOption{InitAddress: []string{address}})
	if err != nil {
		return nil, fmt.Errorf("connect %s to Valkey: %w", bareGet, err)
	}
	return c, nil
}

// serveBareGet serves bodies out of Valkey until the listener fails.
func serveBareGet(listener net.Listener, address string) error {
	c, err := newValkeyClient(address)
	if err != nil {
		return err
	}
	heads := new(loop)
	return heads.serveBy(listener, func() answering {
		var answer []byte // buffer of the last answer
		return func(request []byte) []byte {
			_, rest, _ := bytes.Cut(request, []byte(" "))
			path, _, _ := bytes.Cut(rest, []byte(" "))
			body, err := c.Do(context.Background(), c.B().Get().Key(bodyKey(string(path))).Build()).ToString()
			if err != nil {
				if !errors.Is(err, valkey.Nil) {
					fmt.Fprintf(os.Stderr, "%s: %v\n", bareGet, err)
				}
				return notFound
			}
			head := heads.headOf(len(body))
			if len(head) == 0 {
				return notFound
			}
			answer = append(append(answer[:0], head...), body...)
			return answer
		}
	})
}

// foundInValkey is the number of keys found in Valkey since its start; zero without Valkey.
func (b *bed) foundInValkey(ctx context.Context) (int, error) {
	if b.valkey == nil {
		return 0, nil
	}
	text, err := b.valkey.CLI(ctx, "info", "stats")
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(text, "\n") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "keyspace_hits:"); ok {
			n, err := strconv.Atoi(value)
			if err != nil {
				return 0, fmt.Errorf("count what Valkey found: %w", err)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("count what Valkey found: it does not tell")
}

// cpuOfValkey is the CPU time that Valkey has used; zero without Valkey.
func (b *bed) cpuOfValkey() (time.Duration, error) {
	if b.valkey == nil {
		return 0, nil
	}
	return bench.CPUOfTree(b.valkey.Process().PID())
}
