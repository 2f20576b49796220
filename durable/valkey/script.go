package valkey

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
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

// At is what a script is given whose keys all begin with base, which is its ARGV[1]: KEYS[1] is base with an m, which stands for all of
// their slot.
func At(base string, args []string) (keys, argv []string) {
	return []string{base + "m"}, append([]string{base}, args...)
}

// Run runs the script.
func (s *Script) Run(ctx context.Context, c commander, keys, args []string) valkey.ValkeyResult {
	result := c.Do(ctx, s.Command(c, keys, args))
	if UnknownScript(result.Error()) {
		return c.Do(ctx, s.whole(c, keys, args))
	}
	return result
}

// Command runs the script where the server knows it.
func (s *Script) Command(c commander, keys, args []string) valkey.Completed {
	return c.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

// whole is Command with the script itself, from which the server learns it.
func (s *Script) whole(c commander, keys, args []string) valkey.Completed {
	return c.B().Eval().Script(s.Text).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

// Texts are those of the list that a script has answered. It fails with garbled where one is none.
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

// UnknownScript reports whether the server has not run a Command for want of the script.
func UnknownScript(err error) bool {
	said, ok := valkey.IsValkeyErr(err)
	return ok && strings.HasPrefix(said.Error(), "NOSCRIPT")
}
