package config

import (
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryLimit is how much memory the process may use: the limit of its control group, else the machine's memory.
var memoryLimit = memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)

func compileMemory(doc *part) memory {
	size := read[memorySize](doc, "size")
	m := memory{Size: size.bytes, MaxObject: doc.bytes("max_object")}
	if size.auto {
		limit, err := memoryLimit()
		if err != nil {
			doc.problem("size", "auto finds no memory limit (%w); write a size such as 512MiB", err)
			return m
		}
		m.Size = int64(limit / 2)
		m.GoLimit = GoLimit(int64(limit), m.Size)
		doc.setInForce("size", memorySize{bytes: m.Size})
	}
	if doc.spoiled("size") || doc.spoiled("max_object") {
		return m
	}
	if limit, err := memoryLimit(); err == nil && !size.auto && uint64(max(m.Size, 0)) > limit {
		doc.warn("size", "is %s, more than the %d MiB that this machine or its container has, so that the process is ended before the store is full; write auto, which is half of that, or less", SizeText(m.Size), limit>>20)
	}
	if m.Size < minMemory {
		doc.problem("size", "is less than 1MiB, too little to keep anything; write 64MiB or more")
	} else if m.MaxObject > m.Size || m.MaxObject == 0 {
		doc.problem("max_object", "is not between 1B and memory.size; write 8MiB, or less than memory.size")
	}
	return m
}

const minMemory = 1 << 20

// containerLimit is the control group's limit alone, without the machine's memory as a fallback.
var containerLimit memlimit.Provider = memlimit.FromCgroup

// ContainerMemory is the memory limit of the process's control group, in bytes, and false where the group has no limit.
func ContainerMemory() (int64, bool) {
	limit, err := containerLimit()
	if err != nil || limit == 0 || limit > math.MaxInt64 {
		return 0, false
	}
	return int64(limit), true
}

// GoLimit is the share of a memory limit for Go's runtime, in bytes: nine tenths of limit, less size. Copies take size
// outside of Go's memory, and the system needs the last tenth for sockets and code. The result is at least a quarter of
// the nine tenths. With less, Go would do nothing but collect garbage.
func GoLimit(limit, size int64) int64 {
	usable := limit / 10 * 9
	return max(usable-size, usable/4)
}
