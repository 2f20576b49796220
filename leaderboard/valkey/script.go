package valkey

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"strings"

	"github.com/valkey-io/valkey-go"
)

// script is run by its hash, and sent whole where the server does not know it.
type script struct{ text, sha string }

func newScript(parts ...string) *script {
	text := strings.Join(parts, "")
	sum := sha1.Sum([]byte(text))
	return &script{text, hex.EncodeToString(sum[:])}
}

// commander is a client, or one connection of it.
type commander interface {
	B() valkey.Builder
	Do(ctx context.Context, cmd valkey.Completed) valkey.ValkeyResult
	DoMulti(ctx context.Context, cmds ...valkey.Completed) []valkey.ValkeyResult
}

// command runs the script with a key that stands for all of its slot as KEYS[1]; ARGV[1] begins all keys.
func (s *script) command(c commander, base string, args []string) valkey.Completed {
	return c.B().Evalsha().Sha1(s.sha).Numkeys(1).Key(base + "m").Arg(base).Arg(args...).Build()
}

// whole is command with the script itself.
func (s *script) whole(c commander, base string, args []string) valkey.Completed {
	return c.B().Eval().Script(s.text).Numkeys(1).Key(base + "m").Arg(base).Arg(args...).Build()
}

func (s *script) run(ctx context.Context, c commander, base string, args []string) valkey.ValkeyResult {
	result := c.Do(ctx, s.command(c, base, args))
	if unknownScript(result.Error()) {
		return c.Do(ctx, s.whole(c, base, args))
	}
	return result
}

func unknownScript(err error) bool {
	said, ok := valkey.IsValkeyErr(err)
	return ok && strings.HasPrefix(said.Error(), "NOSCRIPT")
}
