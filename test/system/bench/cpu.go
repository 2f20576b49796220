package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// tick is the unit of CPU time in /proc: Linux shows 100 ticks a second to programs, whatever the kernel's own clock
// is.
const tick = 10 * time.Millisecond

// processTimes is the content of /proc/PID/stat.
type processTimes struct {
	parent   int
	own      time.Duration // user and system
	children time.Duration // of ended children that were waited for
}

// CPUOfTree is the CPU time that a process and its descendants have used so far, ended descendants included.
func CPUOfTree(root int) (time.Duration, error) {
	tree, err := processTree(root)
	if err != nil {
		return 0, fmt.Errorf("read CPU times: %w", err)
	}
	var sum time.Duration
	for pid, times := range tree {
		own, ok := ownCPU(pid)
		if !ok {
			own = times.own // the process has ended since
		}
		sum += own + times.children
	}
	return sum, nil
}

// processTree is a process and its descendants, by id.
func processTree(root int) (map[int]processTimes, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := map[int]processTimes{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || err != nil && !processExists(path) {
			continue // the process has ended since the folder was listed
		}
		if err != nil {
			return nil, err
		}
		times, err := parseStat(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, err
		}
		all[pid] = times
	}
	if _, ok := all[root]; !ok {
		return nil, fmt.Errorf("process %d is not in /proc (this needs Linux)", root)
	}
	tree := map[int]processTimes{}
	for pid, times := range all {
		if descends(all, pid, root) {
			tree[pid] = times
		}
	}
	return tree, nil
}

// processExists tells a real failure from the ESRCH of a process that ended while its file was being read.
func processExists(statPath string) bool {
	_, err := os.Stat(statPath)
	return err == nil
}

func descends(all map[int]processTimes, pid, root int) bool {
	for pid != root {
		times, ok := all[pid]
		if !ok || times.parent == 0 {
			return false
		}
		pid = times.parent
	}
	return true
}

// parseStat reads the fields of proc(5) that count CPU time. The second field is the program's name in parentheses,
// which may hold any character.
func parseStat(text []byte) (processTimes, error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return processTimes{}, errors.New("no name in parentheses")
	}
	fields := bytes.Fields(text[end+1:]) // from field 3, the state
	if len(fields) < 15 {
		return processTimes{}, fmt.Errorf("%d fields after the name, want 15 or more", len(fields))
	}
	var numbers [5]int64
	for i, field := range []int{4, 14, 15, 16, 17} { // ppid, utime, stime, cutime, cstime
		n, err := strconv.ParseInt(string(fields[field-3]), 10, 64)
		if err != nil {
			return processTimes{}, fmt.Errorf("field %d: %w", field, err)
		}
		numbers[i] = n
	}
	return processTimes{
		parent:   int(numbers[0]),
		own:      time.Duration(numbers[1]+numbers[2]) * tick,
		children: time.Duration(numbers[3]+numbers[4]) * tick,
	}, nil
}
