package valkey

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"cacheproxy/leaderboard"
)

// nameOf encodes the name of a player for the server. The encoding keeps the order of bytes, and puts \xff after each
// zero byte of the name. So a zero byte without \xff ends the name.
func nameOf(player string) string { return strings.ReplaceAll(player, "\x00", "\x00\xff") }

func playerOf(name string) string { return strings.ReplaceAll(name, "\x00\xff", "\x00") }

// read parses a member of a sorted set.
func read(rules *leaderboard.Rules, member string) (player string, at time.Time, err error) {
	switch {
	case rules.Ties == leaderboard.Earlier && len(member) >= 8:
		return playerOf(member[8:]), stamp(member[:8]), nil
	case rules.Ties == leaderboard.ByName && len(member) >= 9:
		return playerOf(member[:len(member)-9]), stamp(member[len(member)-8:]), nil
	}
	return "", time.Time{}, fmt.Errorf("%w: member of %d bytes", errReply, len(member))
}

func stamp(bytes string) time.Time {
	return time.UnixMicro(int64(binary.BigEndian.Uint64([]byte(bytes)))).UTC()
}
