package bench

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// CPUModel is the processor's name, where Linux tells the name.
func CPUModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// ResidentMemory is the resident memory of a process, in bytes.
func ResidentMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read resident memory (this needs Linux): %w", err)
	}
	line := residentLine.FindSubmatch(text)
	if line == nil {
		return 0, fmt.Errorf("read resident memory: process %d tells none", pid)
	}
	n, err := strconv.ParseInt(string(line[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	return n << 10, nil
}

var shareLine = regexp.MustCompile(`(?m)^Pss:\s+(\d+) kB$`)

// ResidentMemoryOfTree is the resident memory of a process and its descendants, in bytes. Each process counts with its
// share of shared pages.
func ResidentMemoryOfTree(root int) (sum int64, err error) {
	tree, err := processTree(root)
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	for pid := range tree {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, fmt.Errorf("read resident memory: %w", err)
		}
		line := shareLine.FindSubmatch(text)
		if line == nil {
			continue // of a process that is about to end
		}
		n, err := strconv.ParseInt(string(line[1]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read resident memory: %w", err)
		}
		sum += n << 10
	}
	return sum, nil
}
