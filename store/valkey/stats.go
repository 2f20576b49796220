package valkey

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"cacheproxy/store"

	client "github.com/valkey-io/valkey-go"
)

// Stats are the server's figures, summed over all primaries of a cluster. They include the few keys that are no copies:
// the log, claims, and other programs' keys.
type Stats struct {
	Bytes     int64  // of memory that the server uses
	Entries   int64  // keys in the database
	Evictions uint64 // keys evicted since the server started
}

// Stats asks every node of the server for its figures.
func (t *Tier) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	if t.Down() {
		return s, store.ErrDown
	}
	c, err := t.options.Connection.Client()
	if err != nil {
		return s, err
	}
	for address, node := range c.Nodes() {
		if err := s.add(ctx, node); err != nil {
			return Stats{}, fmt.Errorf("ask %s for its statistics: %w", address, err)
		}
	}
	return s, nil
}

func (s *Stats) add(ctx context.Context, node client.Client) error {
	replies := node.DoMulti(ctx, node.B().Info().Section("memory", "stats", "replication").Build(), node.B().Dbsize().Build())
	info, err := replies[0].ToString()
	if err != nil {
		return err
	}
	size, err := replies[1].AsInt64()
	if err != nil {
		return err
	}
	if strings.Contains(info, "role:slave") {
		return nil
	}
	s.Bytes += int64(infoNumber(info, "used_memory"))
	s.Evictions += infoNumber(info, "evicted_keys")
	s.Entries += size
	return nil
}

// infoNumber is the value of a line of INFO; zero where the line is missing.
func infoNumber(info, name string) uint64 {
	for line := range strings.Lines(info) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
			return n
		}
	}
	return 0
}
