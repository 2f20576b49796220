package valkey

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/valkey-io/valkey-go"
)

// These errors say why a server loses data in spite of its answers, and what to set.
var (
	errNoAppendOnly = errors.New("appendonly is off there, so that nothing would be on disk; set appendonly yes, or write another durability for the route")
	errEvicts       = errors.New("maxmemory-policy there lets the server remove keys that have no lifetime, and with them what was acknowledged; set maxmemory-policy noeviction, or a volatile one")
	errNoWaitaof    = errors.New("the server does not know WAITAOF, so that nothing would be proved to be on disk, and nothing acknowledged; use Valkey or Redis 7.2 or later, or write another durability for the route")
	errNoReplica    = errors.New("no replica is connected there, so that nothing could be acknowledged; connect one, or write another durability for the route")
)

// errReadsBack is not among the errors of Unfit. While a server reads its append-only file, INFO says aof_enabled:0
// although the file is on, and lists no replica.
var errReadsBack = errors.New("the server is reading its data back from its disk, and says what it keeps only then")

// Check returns the reason why a server cannot promise the proof that a route asks for; nil: the server names none.
func Check(ctx context.Context, client valkey.Client, asked Proof) error {
	info, err := client.Do(ctx, client.B().Info().Section("persistence", "replication", "memory").Build()).ToString()
	if err != nil {
		return fmt.Errorf("ask server about durability: %w", err)
	}
	err = weigh(info, asked)
	if err != nil || asked != OnDisk {
		return err
	}
	return ProvesDisk(ctx, client)
}

// weigh returns the reason in an answer to INFO why the server cannot give the proof.
func weigh(info string, asked Proof) error {
	says := map[string]string{}
	for lines := bufio.NewScanner(strings.NewReader(info)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok {
			says[name] = strings.TrimSpace(value)
		}
	}
	switch {
	case strings.HasPrefix(says["maxmemory_policy"], "allkeys") && says["maxmemory"] != "0":
		return errEvicts
	case says["loading"] == "1":
		return errReadsBack
	case asked == OnDisk && says["aof_enabled"] == "0":
		return errNoAppendOnly
	case asked == OnReplica && says["role"] == "master" && !strings.Contains(info, ",state=online,"):
		return errNoReplica
	}
	return nil
}

// ProvesDisk asks the server for a proof that nothing needs to be on disk (WAITAOF 0 0), with the same command that
// asks before a write is acknowledged. The error says whether the server knows the command.
func ProvesDisk(ctx context.Context, client valkey.Client) error {
	err := client.Do(ctx, client.B().Waitaof().Numlocal(0).Numreplicas(0).Timeout(1).Build()).Error()
	if said, ok := valkey.IsValkeyErr(err); ok && strings.Contains(strings.ToLower(said.Error()), "unknown command") {
		return errNoWaitaof
	}
	if err != nil {
		return fmt.Errorf("ask server whether what it has is on disk: %w", err)
	}
	return nil
}

// Unfit reports whether an error says that the server is unfit, and not that the server could not be asked.
func Unfit(err error) bool {
	return errors.Is(err, errNoAppendOnly) || errors.Is(err, errNoWaitaof) || errors.Is(err, errEvicts) || errors.Is(err, errNoReplica)
}
