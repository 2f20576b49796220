package config

import (
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryLimit is how much memory the process may use: what its control group allows, else what the machine has.
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

// containerLimit is what the control group allows alone.
var containerLimit memlimit.Provider = memlimit.FromCgroup

// ContainerMemory is how much memory the process's control group may use, in bytes. It reports false when there is no such
// limit.
func ContainerMemory() (int64, bool) {
	limit, err := containerLimit()
	if err != nil || limit == 0 || limit > math.MaxInt64 {
		return 0, false
	}
	return int64(limit), true
}

// GoLimit is the part of a memory limit that Go's runtime may use: copies, which have size, are not in its memory, and the system takes
// some for sockets and for code. Where size leaves next to nothing, it is what Go needs in any case, or it would do nothing but collect.
func GoLimit(limit, size int64) int64 {
	usable := limit / 10 * 9
	return max(usable-size, usable/4)
}
