package servers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// SentinelMaster is the name under which ValkeySentinel's primary is known.
const SentinelMaster = "shop"

// ValkeySentinel is a primary with one replica, and a sentinel that makes the
// replica a primary when it has not heard of the primary for a second.
type ValkeySentinel struct {
	Sentinel, Primary, Replica *ValkeyServer
}

// StartValkeySentinel starts the three for one test, and returns when the
// replica follows the primary and the sentinel knows it. args are added to the
// command lines of both servers. One that ends and is started again serves as a
// primary until it is told otherwise.
func StartValkeySentinel(tb testing.TB, program string, args ...string) *ValkeySentinel {
	tb.Helper()
	NeedValkey(tb, program)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	start := func() *ValkeyServer {
		v, err := StartValkey(ctx, valkeyFolder(tb), ValkeyOptions{Program: program, Args: append([]string{"--repl-diskless-sync-delay", "0"}, args...)})
		if err != nil {
			tb.Fatal(err)
		}
		endWith(tb, v)
		return v
	}
	s := &ValkeySentinel{Primary: start(), Replica: start()}
	if err := s.Replica.Follow(ctx, s.Primary); err != nil {
		tb.Fatal(err)
	}
	s.Replica.await(ctx, tb, func(info string) bool { return strings.Contains(info, "master_link_status:up") }, "INFO", "replication")
	s.startSentinel(ctx, tb)
	s.Sentinel.await(ctx, tb, func(known string) bool {
		return strings.Contains(known, strconv.Itoa(s.Replica.port)) && strings.Contains(known, "master-link-status\nok")
	}, "SENTINEL", "REPLICAS", SentinelMaster)
	return s
}

func (s *ValkeySentinel) startSentinel(ctx context.Context, tb testing.TB) {
	tb.Helper()
	port, err := FreePort()
	if err != nil {
		tb.Fatal(err)
	}
	dir := valkeyFolder(tb)
	file := filepath.Join(dir, "sentinel.conf") // it writes to it what it learns
	lines := []string{
		"port " + strconv.Itoa(port), "bind 127.0.0.1", "protected-mode no", "dir " + dir,
		fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 1", SentinelMaster, s.Primary.port),
		"sentinel down-after-milliseconds " + SentinelMaster + " 1000", "sentinel failover-timeout " + SentinelMaster + " 5000",
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	process, err := StartProcess(ctx, Command{Path: s.Primary.binary, Args: []string{file, "--sentinel"}, Dir: dir, Ready: "+monitor master"})
	if err != nil {
		tb.Fatal(err)
	}
	s.Sentinel = &ValkeyServer{binary: s.Primary.binary, dir: dir, port: port, process: process}
	endWith(tb, s.Sentinel)
}
