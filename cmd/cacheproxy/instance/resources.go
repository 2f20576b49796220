package instance

import (
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"cacheproxy/config"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/server"
)

// collectAt is the growth of the heap, in percent, that starts a garbage collection unless GOGC is set. A quarter of
// memory.size may be answers that are being fetched, which are on the heap; copies are not.
const collectAt = 50

// heapFloor is the least size of the heap that the collector sees, in bytes. Without copies on the heap, the heap is so
// small that misses would start a hundred collections a second. The floor is never written to, so that it takes
// addresses and no memory.
const heapFloor = 8 << 20

// boundMemory keeps the Go runtime within the memory of the container. GOMEMLIMIT and GOGC of the environment win.
func (i *Instance) boundMemory() {
	memory := i.generations.current.Load().Memory
	goLimit := memory.GoLimit
	if container, limited := config.ContainerMemory(); limited {
		if goLimit == 0 {
			goLimit = config.GoLimit(container, memory.Size)
		}
		if memory.Size > container/4*3 {
			i.log.Warn("memory.size leaves too little of the container's memory for everything else; lower it, or write auto",
				"size", memory.Size, "container", container)
		}
	}
	if goLimit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(goLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
		// The memory limit counts addresses too.
		if limit := debug.SetMemoryLimit(-1); i.heapFloor == nil && limit > 8*heapFloor {
			i.heapFloor = make([]byte, heapFloor)
		}
	}
}

// connectionCounts are the counts of the clients' connections for metrics.
func (i *Instance) connectionCounts() observe.ConnectionGauges {
	return observe.ConnectionGauges(i.connections.Counts())
}

// rejected counts a request that was refused before the proxy got the request, and logs the request like every error.
func (i *Instance) rejected(client netip.Addr, status int) {
	i.metrics.Rejected(status)
	record := observe.Record{Time: time.Now(), Status: status, Outcome: policy.Failed}
	if client.IsValid() {
		record.Client = client.String()
	}
	i.access.Log(&record)
}

// openFiles is how many files the process may have open, for the log; 0: unknown.
func openFiles() int {
	n, err := fileLimit()
	if err != nil {
		return 0 // limits has warned
	}
	return n
}

// limits are the data listener's limits, with no more connections than the process may have files for.
func (i *Instance) limits() server.Limits {
	l := i.snapshot.Limits
	files, err := fileLimit()
	if err != nil {
		i.log.Warn("limit of open files unknown; limits.max_connections may not be reached", "error", err)
		return l
	}
	others := spareFiles
	for _, o := range i.snapshot.Upstreams {
		if o.MaxInFlight == 0 {
			others = max(others, files/2) // each request may have a connection to the upstream too
		}
		others += o.MaxInFlight + max(o.MaxStreams, 0)
	}
	if possible := max(files-others, files/2); l.MaxConnections > possible {
		i.log.Warn("limits.max_connections lowered to what the limit of open files leaves; raise the limit (ulimit -n, LimitNOFILE=), or lower max_connections",
			"max_connections", l.MaxConnections, "now", possible, "files", files, "for_upstreams", others-spareFiles)
		l.MaxConnections = possible
	}
	return l
}

// spareFiles is the number of files for the admin listener's clients, listeners, idle connections to upstreams, logs
// and libraries.
const spareFiles = maxAdminConnections + 64
