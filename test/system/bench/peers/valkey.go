package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// leastInValkey is the share of the requests that has to find its copy in Valkey, where a load is about that.
const leastInValkey = 0.8

// foundInValkey is how many keys have been found in Valkey since it was started; none where there is no Valkey.
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
