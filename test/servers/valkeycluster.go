package servers

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// valkeySlots is the number of hash slots that a cluster's primaries share.
const valkeySlots = 16384

// ValkeyCluster starts three primaries that form a cluster, without replicas,
// for one test, and returns when all of them answer for their slots.
func ValkeyCluster(tb testing.TB, program string) []*ValkeyServer {
	tb.Helper()
	NeedValkey(tb, program)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nodes := make([]*ValkeyServer, 3)
	buses := make([]int, len(nodes))
	for i := range nodes {
		var err error
		if buses[i], err = FreePort(); err != nil {
			tb.Fatal(err)
		}
		nodes[i], err = StartValkey(ctx, valkeyFolder(tb), ValkeyOptions{Program: program, Args: []string{
			"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(buses[i]), "--cluster-node-timeout", "2000",
		}})
		if err != nil {
			tb.Fatal(err)
		}
		endWith(tb, nodes[i])
	}
	for i, node := range nodes {
		first, last := i*valkeySlots/len(nodes), (i+1)*valkeySlots/len(nodes)-1
		if _, err := node.CLI(ctx, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last)); err != nil {
			tb.Fatal(err)
		}
		if _, err := nodes[0].CLI(ctx, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(node.port), strconv.Itoa(buses[i])); i > 0 && err != nil {
			tb.Fatal(err)
		}
	}
	for _, node := range nodes {
		node.await(ctx, tb, func(info string) bool {
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", len(nodes)))
		}, "CLUSTER", "INFO")
	}
	return nodes
}

// await asks until the answer to a command is what is wanted.
func (v *ValkeyServer) await(ctx context.Context, tb testing.TB, wanted func(string) bool, args ...string) {
	tb.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		answer, err := v.CLI(ctx, args...)
		if err == nil && wanted(answer) {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			tb.Fatalf("wait for %s: %v, %v; last answer:\n%s", strings.Join(args, " "), ctx.Err(), err, answer)
		}
	}
}
