package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed wrk.lua
var wrkScript []byte

// installPeers is the command that installs the load generator and the peers.
const installPeers = "make bench-peers"

// errNoWrk names the command that installs wrk.
var errNoWrk = errors.New("find wrk: it is not installed; " + installPeers + " installs it and the peers on Debian and Ubuntu")

// traffic is a load generator's result of a run.
type traffic struct {
	Requests     int   `json:"requests"`
	Microseconds int64 `json:"microseconds"`
	Bytes        int64 `json:"bytes"`
	Connect      int   `json:"connect"`
	Read         int   `json:"read"`
	Write        int   `json:"write"`
	Status       int   `json:"status"`
	Timeout      int   `json:"timeout"`
}

func (t traffic) perSecond() float64 { return float64(t.Requests) / (float64(t.Microseconds) / 1e6) }

// failure is an error where more than one request in a thousand failed.
func (t traffic) failure() error {
	if t.Requests == 0 {
		return errors.New("no request was answered")
	}
	if bad := t.Connect + t.Read + t.Write + t.Status + t.Timeout; bad*1000 > t.Requests {
		return fmt.Errorf("of %d requests went wrong: %d connecting, %d reading, %d writing, %d by status, %d by time",
			t.Requests, t.Connect, t.Read, t.Write, t.Status, t.Timeout)
	}
	return nil
}

// material is the requests of a load, in memory and as files for wrk.
type material struct {
	allHeads, allPaths []string
	heads, paths       string
}

// writeMaterial writes the heads, with fields added to each, and the paths.
func writeMaterial(dir, name string, heads []string, fields string, paths []string) (material, error) {
	m := material{allPaths: paths, heads: filepath.Join(dir, name+".heads"), paths: filepath.Join(dir, name+".paths")}
	for _, head := range heads {
		m.allHeads = append(m.allHeads, withFields(head, fields))
	}
	for file, text := range map[string]string{m.heads: strings.Join(m.allHeads, ""), m.paths: strings.Join(paths, "\n") + "\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return material{}, fmt.Errorf("write material of the load: %w", err)
		}
	}
	return m, nil
}

// rendered is the number of paths up to which wrk.lua builds complete requests beforehand.
const rendered = 20_000

// inTurn yields one round of wrk.lua's requests, without those with unique paths. The pairs of path and head matter: a
// cache that tells clients' preferences apart has a copy for each pair.
func inTurn(paths, heads []string) iter.Seq[exchange] {
	return func(yield func(exchange) bool) {
		if paths[0] == unique {
			return
		}
		count, many := max(len(paths), len(heads)), len(paths) > rendered
		if many {
			for count = len(paths); count%len(heads) != 0; {
				count += len(paths)
			}
		}
		for i := range count {
			one := exchange{paths[i%len(paths)], heads[i%len(heads)]}
			if !many {
				one.head = heads[(i+i/len(heads))%len(heads)]
			}
			if one.path != unique && !yield(one) {
				return
			}
		}
	}
}

func withFields(head, fields string) string {
	return strings.TrimSuffix(head, "\r\n") + fields + "\r\n"
}

// runWrk sends as many requests as the server takes. Unique paths begin with prefix.
func runWrk(ctx context.Context, c cores, script string, m material, l load, address, prefix string, duration time.Duration) (traffic, error) {
	scheme := "http://"
	if l.tls {
		scheme = "https://"
	}
	seconds := max(1, int(duration/time.Second))
	command := pinned(c.Load, "wrk", "-t", "1", "-c", strconv.Itoa(l.connections), "-d", fmt.Sprintf("%ds", seconds), "--timeout", "10s",
		"-s", script, scheme+address, "--", m.heads, m.paths, prefix)
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return traffic{}, fmt.Errorf("run wrk: %w: %s", err, out)
	}
	return parseTraffic(out)
}

// parseTraffic finds the line that the script prints at the end.
func parseTraffic(out []byte) (traffic, error) {
	for line := range bytes.Lines(out) {
		text, ok := bytes.CutPrefix(line, []byte("wrk "))
		if !ok {
			continue
		}
		var t traffic
		if err := json.Unmarshal(text, &t); err != nil {
			return traffic{}, fmt.Errorf("read what wrk printed: %w: %s", err, line)
		}
		if t.Microseconds <= 0 {
			return traffic{}, fmt.Errorf("read what wrk printed: it took no time: %s", line)
		}
		return t, nil
	}
	return traffic{}, fmt.Errorf("read what wrk printed: no result in it:\n%s", out)
}
