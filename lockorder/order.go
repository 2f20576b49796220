// Package lockorder holds the order in which the locks of this program are taken, and checks the order.
//
// A mutex names its class: `mu lockorder.Mutex[lockorder.Follower]`. A goroutine that holds a lock may take only
// locks of classes that stand further down in the order. Two goroutines can then never wait for each other, each with
// the lock that the other wants. The order also forbids two locks of one class at once, such as the locks of two
// shards of a ledger.
//
// In an ordinary build the types are sync.Mutex and sync.RWMutex themselves, and cost nothing more. With the build
// tag lockorder each mutex remembers the goroutine that holds the mutex. A goroutine that takes a lock out of order
// panics with the names of both classes. docs/architecture.md says why the order is what it is.
package lockorder

// Class is implemented by the types that stand for a class of locks.
type Class interface{ isClass() }

type class struct{}

func (class) isClass() {}

// The classes. Each class is the lock of one type; the comment of that type says what the lock guards.
type (
	Generations    struct{ class } // cmd/cacheproxy/instance: generations
	Holdings       struct{ class } // cmd/cacheproxy/instance: holdings
	Configurations struct{ class } // proxy: Proxy.operating
	Syncer         struct{ class } // invalidation/valkey: syncer
	Switches       struct{ class } // cmd/cacheproxy/instance: switches
	Upstreams      struct{ class } // cmd/cacheproxy/instance: upstreams
	Modes          struct{ class } // proxy: Proxy.switching
	Gauges         struct{ class } // observe: held

	Confirmations struct{ class } // invalidation/valkey: confirmations
	Local         struct{ class } // invalidation: Local
	Follower      struct{ class } // invalidation/fleet: Follower
	Flights       struct{ class } // proxy/fill: flightShard
	LedgerShard   struct{ class } // invalidation: shard

	Body       struct{ class } // proxy/fill: body
	Stall      struct{ class } // proxy/upstream: stall
	PassWriter struct{ class } // proxy/pass: writer
	TimedBody  struct{ class } // proxy/server: timedBody

	Crowd       struct{ class } // invalidation: Crowd
	Tasks       struct{ class } // proxy/fill: tasks
	Recalls     struct{ class } // proxy/fill: recall
	Renewals    struct{ class } // proxy/fill: renewals
	Limiter     struct{ class } // proxy/upstream: limiter
	Balancer    struct{ class } // proxy/upstream: balancer
	Wait        struct{ class } // proxy/upstream: wait
	Trip        struct{ class } // proxy/upstream: trip
	KeptBody    struct{ class } // proxy/upstream: keptBody, replay
	IdleConns   struct{ class } // proxy/upstream: idleConns
	Connections struct{ class } // proxy/server: Connections
	Connection  struct{ class } // proxy/server: connection

	Claims       struct{ class } // store/valkey: Claims
	Budget       struct{ class } // store: Budget
	Copies       struct{ class } // store: Memory
	CopyShard    struct{ class } // store: shard of a Memory
	Slab         struct{ class } // store/slab: Heap
	Decoders     struct{ class } // store/coding: desk
	Metrics      struct{ class } // observe: Metrics
	FleetMetrics struct{ class } // observe: FleetMetrics
	Contact      struct{ class } // invalidation/valkey: contact
	Boards       struct{ class } // leaderboard/valkey: book
	Broadcast    struct{ class } // invalidation/valkey: broadcastState
	LineWriter   struct{ class } // observe: LineWriter
	Names        struct{ class } // observe: sketch
	Throttle     struct{ class } // observe: Throttle
	Tops         struct{ class } // leaderboard/api: tops
	Permits      struct{ class } // leaderboard/api: Permits
	MemoryBoards struct{ class } // leaderboard/memory: Records
	Turns        struct{ class } // proxy: turns
)

// order lists the classes in the order in which their locks are taken.
var order = []Class{
	Generations{},
	Holdings{},
	Configurations{},
	Syncer{},
	Switches{},
	Upstreams{},
	Modes{},
	Gauges{},
	Confirmations{},
	Local{},
	Follower{},
	Flights{},
	Body{},
	Stall{},
	PassWriter{},
	TimedBody{},
	Crowd{},
	Tasks{},
	Recalls{},
	Renewals{},
	Limiter{},
	Balancer{},
	Wait{},
	Trip{},
	KeptBody{},
	IdleConns{},
	Connections{},
	Connection{},
	Claims{},
	Budget{},
	Copies{},
	LedgerShard{},
	CopyShard{},
	Slab{},
	Decoders{},
	Metrics{},
	FleetMetrics{},
	Contact{},
	Boards{},
	Broadcast{},
	LineWriter{},
	Names{},
	Throttle{},
	Tops{},
	Permits{},
	MemoryBoards{},
	Turns{},
}
