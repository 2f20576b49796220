package main

import (
	"os"
	"runtime/debug"

	"cacheproxy/config"
	"cacheproxy/observe"
)

// collectAt is the growth of the heap, in percent, at which garbage is collected unless GOGC says otherwise. Most of the heap
// is copies that stay; at Go's own 100 the process would need more than twice their size.
const collectAt = 50

// boundMemory makes the runtime keep within what the container may use. What the environment says wins.
func (i *instance) boundMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	memory := i.snapshot.Memory
	goLimit := memory.GoLimit
	if container, limited := config.ContainerMemory(); limited {
		if goLimit == 0 {
			goLimit = config.GoLimit(container)
		}
		if memory.Size > container/4*3 {
			i.log.Warn("memory.size leaves too little of the container's memory for everything else; lower it, or write auto",
				"size", memory.Size, "container", container)
		}
	}
	if goLimit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(goLimit)
	}
}

// connectionCounts tells the metrics of the clients' connections.
func (i *instance) connectionCounts() observe.ConnectionGauges {
	n := i.connections.Counts()
	return observe.ConnectionGauges{
		Open: n.Open, AtWork: n.AtWork, Reclaimed: n.Reclaimed, Refused: n.Refused, Stalled: n.Stalled, Flooding: n.Flooding,
	}
}
