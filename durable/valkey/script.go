package valkey

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/valkey-io/valkey-go"
)

// Script is a Lua script. The server runs a Script by its hash, and is sent the whole text where it does not know the
// hash. A Script must not be changed while it is in use.
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

// commander is a client, or one connection of a client.
type commander interface {
	B() valkey.Builder
	Do(ctx context.Context, cmd valkey.Completed) valkey.ValkeyResult
}

// At returns the keys and arguments of a script whose keys all begin with base. ARGV[1] is base. KEYS[1] is base
// followed by m, which stands for all keys of the slot.
func At(base string, args []string) (keys, argv []string) {
	return []string{base + "m"}, append([]string{base}, args...)
}

// Run runs the script, and sends the whole text where the server does not know the hash.
func (s *Script) Run(ctx context.Context, c commander, keys, args []string) valkey.ValkeyResult {
	result := c.Do(ctx, s.Command(c, keys, args))
	if UnknownScript(result.Error()) {
		return c.Do(ctx, s.whole(c, keys, args))
	}
	return result
}

// Command returns the command that runs the script where the server knows it.
func (s *Script) Command(c commander, keys, args []string) valkey.Completed {
	return c.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

// whole returns the command that runs the script and teaches the server its text.
func (s *Script) whole(c commander, keys, args []string) valkey.Completed {
	return c.B().Eval().Script(s.Text).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

// Texts returns the texts of a list that a script has answered. Texts fails with garbled where an element is no text.
func Texts(r valkey.ValkeyResult, garbled error) ([]string, error) {
	list, err := r.ToArray()
	if err != nil {
		return nil, err
	}
	all := make([]string, len(list))
	for i := range list {
		if all[i], err = list[i].ToString(); err != nil {
			return nil, fmt.Errorf("%w: %w", garbled, err)
		}
	}
	return all, nil
}

// UnknownScript reports whether the server has not run a Command because it lacks the script.
func UnknownScript(err error) bool {
	said, ok := valkey.IsValkeyErr(err)
	return ok && strings.HasPrefix(said.Error(), "NOSCRIPT")
}
