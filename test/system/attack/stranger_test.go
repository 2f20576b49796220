package attack

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// What stands at the end of a signed copy on the server.
const signature, checksum = 16, 8

// stranger can write to the fleet's server and has no secret: it changes copies there, and has their checksums be right. What it has
// written is never served.
func (g *target) stranger(ctx context.Context, address string) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		g.find.add("cause", "", fmt.Sprintf("no connection to Valkey: %v", err))
		return
	}
	defer c.Close()
	r, cursor := bufio.NewReader(c), "0"
	for ctx.Err() == nil {
		_ = c.SetDeadline(time.Now().Add(patience))
		reply, err := command(c, r, "SCAN", cursor, "MATCH", "attack:e:*", "COUNT", "20")
		if err != nil || len(reply) == 0 {
			return
		}
		cursor = reply[0]
		for _, key := range reply[1:] {
			got, err := command(c, r, "GET", key)
			if err != nil {
				return
			}
			if len(got) != 1 || len(got[0]) < 200 || rand.IntN(4) > 0 {
				continue
			}
			value := []byte(got[0][:len(got[0])-checksum])
			value[len(value)-signature-1-rand.IntN(20)] ^= 1 << rand.IntN(5)
			if _, err := command(c, r, "SET", key, string(binary.BigEndian.AppendUint64(value, xxhash.Sum64(value))), "PX", "60000"); err != nil {
				return
			}
			g.forged.Add(1)
		}
		pause(10 * time.Millisecond)
	}
}

// command runs a command, and flattens its reply.
func command(c net.Conn, r *bufio.Reader, args ...string) ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		return nil, err
	}
	return readReply(r)
}

func readReply(r *bufio.Reader) (flat []string, err error) {
	line, err := r.ReadString('\n')
	if err != nil || len(line) < 3 {
		return nil, err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch {
	case line[0] == '$' && n >= 0:
		text := make([]byte, n+2)
		_, err = io.ReadFull(r, text)
		return []string{string(text[:n])}, err
	case line[0] == '*':
		for range n {
			one, err := readReply(r)
			if err != nil {
				return nil, err
			}
			flat = append(flat, one...)
		}
	}
	return flat, nil
}
