// Package promise is what readers of a proxy have been promised, and whether they got it: the independent check of all tests that look for
// stale reads.
package promise

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// atRisk is for how long after an acknowledgement a read of what was invalidated counts as one that could have been stale.
const atRisk = 5 * time.Second

// Check knows which versions readers have to see.
type Check struct {
	promised []promise

	Reads   atomic.Int64 // answered with 200
	AtRisk  atomic.Int64 // of these: asked for within atRisk of an acknowledgement that concerned them
	Stale   atomic.Int64 // of these: older than was promised
	Refused atomic.Int64 // answered with something else
	Failed  atomic.Int64 // not answered

	mu       sync.Mutex
	findings []string // the first few; guarded by mu
}

// promise is what was acknowledged of one key.
type promise struct {
	version atomic.Int64
	at      atomic.Int64 // Unix ns of the acknowledgement
	_       [48]byte
}

// NewCheck makes a check of as many keys, of which nothing is promised yet.
func NewCheck(keys int) *Check { return &Check{promised: make([]promise, keys)} }

// Acknowledged notes that what came before a version is not to be seen any more.
func (c *Check) Acknowledged(key int, version int64) {
	p := &c.promised[key]
	raise(&p.at, time.Now().UnixNano())
	raise(&p.version, version)
}

// Expected is what a read that is sent now has to see.
func (c *Check) Expected(key int) (version int64, risky bool) {
	p := &c.promised[key]
	return p.version.Load(), time.Since(time.Unix(0, p.at.Load())) < atRisk
}

// Read compares an answer with what was expected when it was asked for.
func (c *Check) Read(key int, want int64, risky bool, got int64, asked time.Time, how string) {
	c.Reads.Add(1)
	if risky {
		c.AtRisk.Add(1)
	}
	if got >= want {
		return
	}
	c.Stale.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.findings) < 20 {
		c.findings = append(c.findings, fmt.Sprintf("%s asked for key %d: version %d, %d was promised (%s)", asked.Format("15:04:05.000"), key, got, want, how))
	}
}

// Findings are the first stale reads.
func (c *Check) Findings() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.findings...)
}

// Bound is the share of reads at risk that may be stale with a probability of 95 %, given that none was: the rule of three.
func (c *Check) Bound() float64 { return 3 / float64(max(c.AtRisk.Load(), 1)) }

func raise(v *atomic.Int64, to int64) {
	for {
		have := v.Load()
		if have >= to || v.CompareAndSwap(have, to) {
			return
		}
	}
}
