package valkey

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"strings"

	"github.com/valkey-io/valkey-go"
)

// Script is run by its hash, and sent whole where the server does not know it. It is not changed while it is in use.
type Script struct {
	Text string
	sha  string
}

// NewScript makes a script of its parts, in their order.
func NewScript(parts ...string) *Script {
	text := strings.Join(parts, "")
	sum := sha1.Sum([]byte(text))
	return &Script{text, hex.EncodeToString(sum[:])}
}

// commander is a client, or one connection of it.
type commander interface {
	B() valkey.Builder
	Do(ctx context.Context, cmd valkey.Completed) valkey.ValkeyResult
}

// Run runs the script. base begins all keys, and is ARGV[1]; KEYS[1] is base with an m, which stands for all of their slot.
func (s *Script) Run(ctx context.Context, c commander, base string, args []string) valkey.ValkeyResult {
	result := c.Do(ctx, s.command(c, base, args))
	if unknownScript(result.Error()) {
		return c.Do(ctx, s.whole(c, base, args))
	}
	return result
}

func (s *Script) command(c commander, base string, args []string) valkey.Completed {
	return c.B().Evalsha().Sha1(s.sha).Numkeys(1).Key(base + "m").Arg(base).Arg(args...).Build()
}

// whole is command with the script itself, from which the server learns it.
func (s *Script) whole(c commander, base string, args []string) valkey.Completed {
	return c.B().Eval().Script(s.Text).Numkeys(1).Key(base + "m").Arg(base).Arg(args...).Build()
}

func unknownScript(err error) bool {
	said, ok := valkey.IsValkeyErr(err)
	return ok && strings.HasPrefix(said.Error(), "NOSCRIPT")
}
