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

// collectAt is the growth of the heap, in percent, at which garbage is collected unless GOGC says otherwise. A quarter of memory.size
// may be answers that are being fetched, which are in the heap; copies are not.
const collectAt = 50

// heapFloor is how much the collector takes the heap for at the least, in bytes. Without copies the heap is so small that misses would have
// it collected a hundred times a second. It is never written to, and takes addresses and no memory.
const heapFloor = 8 << 20

// boundMemory makes the runtime keep within what the container may use. What the environment says wins.
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
		// The limit counts addresses, too.
		if limit := debug.SetMemoryLimit(-1); i.heapFloor == nil && limit > 8*heapFloor {
			i.heapFloor = make([]byte, heapFloor)
		}
	}
}

// connectionCounts tells the metrics of the clients' connections.
func (i *Instance) connectionCounts() observe.ConnectionGauges {
	return observe.ConnectionGauges(i.connections.Counts())
}

// rejected counts a request that was refused before the proxy got it, and logs it like every error.
func (i *Instance) rejected(client netip.Addr, status int) {
	i.metrics.Rejected(status)
	record := observe.Record{Time: time.Now(), Status: status, Outcome: policy.Failed}
	if client.IsValid() {
		record.Client = client.String()
	}
	i.access.Log(&record)
}

// openFiles is how many files the process may have open, for the log; 0 where that is not known.
func openFiles() int {
	n, err := fileLimit()
	if err != nil {
		return 0 // limits has said so
	}
	return n
}

// limits are the data listener's, with no more connections than the process may have files for.
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
			others = max(others, files/2) // each request may have a connection to the upstream, too
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

// spareFiles are for the admin listener's clients, listeners, idle connections to upstreams, logs and libraries.
const spareFiles = maxAdminConnections + 64
