package store

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy/httpcache"

	"github.com/cespare/xxhash/v2"
)

// Copy is a stored response, and a handle to the bytes of its body: see the package's contract on references. Its fields must not be
// changed once it was handed to a Store; it is then safe for concurrent use.
type Copy struct {
	Status int
	// Head is the header section ready to write: "Name: value\r\n" for each field line, in canonical case and sorted
	// by name, without those that differ from answer to answer (Age, Cache-Status, Connection).
	Head string
	Life httpcache.Lifetime
	// Vary names the request header fields that selected this copy, canonical and sorted.
	Vary []string
	// Asked is what the request that fetched the copy said of the answer that it wants, as httpcache.Negotiation writes it: a renewal
	// says the same. Empty: it said nothing, or that is not known.
	Asked   string
	Members []invalidation.ID // sorted, as Ledger.Check wants them
	Stamp   invalidation.Stamp
	// Digest is a hash of status and body, to tell whether a later answer differs.
	Digest uint64
	// Use counts reads and guards renewal. Requests write it while others read; everything else is immutable from the moment at
	// which the copy is handed to a Store, and is read without a lock. Stamp alone moves on, by itself.
	Use Use

	// references counts those who may read the body: everybody who has taken one, and every key under which the copy is stored. It
	// stands beside Use, which a hit writes to as well.
	references atomic.Int32

	body   []byte
	with   *sharers // the copies that have the same body
	fields []field
	values []string
	coded  *coded // nil: the body is as it came
}

// sharers counts the copies of one body that are not free. A hit does not touch it.
type sharers struct{ atomic.Int32 }

// Body is the response's, unless Coding says that it is held in another form than the header describes. The caller must have a
// reference to the copy, may read the bytes until that is given back, and must not write to them.
func (c *Copy) Body() []byte { return c.body }

// Use is what happens to a copy while it is stored.
type Use struct {
	Hits     atomic.Uint32 // reads since it was stored; saturates
	Renewing atomic.Bool   // a renewal is queued or running
	Failures atomic.Uint32 // times that the origin failed to give the copy anew; when it succeeds, that makes another copy

	read     atomic.Int64  // Unix ns of the last read of this copy, or of one that it has replaced; 0: none
	notUntil atomic.Int64  // Unix ns before which the origin is not asked, after it failed
	failing  atomic.Bool   // the last failure was an error for which a copy may be served
	outdated atomic.Bool   // the origin has said that it is not fresh any more
	round    atomic.Uint32 // of Store.Rewarm, in which it was last given to the tiers below memory, or came from there
}

// field is one header field: a name and its lines, which are substrings of Head.
type field struct {
	name        string
	first, last int // in values
}

// NewCopy seals a response: header is what policy keeps of the origin's, and neither it nor body is written to afterwards by the
// caller, who has a reference to the copy.
func NewCopy(status int, header http.Header, body []byte) *Copy {
	c := &Copy{Status: status, Digest: digest(status, body)}
	c.setHeader(header)
	return c.make(slices.Clip(body))
}

// WithHeader makes a copy of the same body with another header section, as after a 304 (RFC 9111 §4.3.4). The caller must have a
// reference to the first, and has one to the second.
func (c *Copy) WithHeader(header http.Header) *Copy {
	n := (&Copy{Status: c.Status, Digest: c.Digest, Vary: c.Vary, Asked: c.Asked}).share(c)
	n.setHeader(header)
	if c.coded != nil {
		n.coded = &coded{coding: c.coded.coding, length: c.coded.length}
		n.coded.describe(n)
	}
	return n
}

func digest(status int, body []byte) uint64 { return xxhash.Sum64(body) ^ uint64(status) }

// Digest is the digest that a copy of this status and body would have.
func Digest(status int, body []byte) uint64 { return digest(status, body) }

// lineBreaks are what would let a value end its line. Like net/http, the head has spaces in their place: an origin that
// sends a bare CR must not make a client see another field.
var lineBreaks = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

// setHeader writes the head once and keeps names and values as parts of it.
func (c *Copy) setHeader(header http.Header) {
	names := make([]string, 0, len(header))
	lines := 0
	for name, values := range header {
		if len(values) > 0 {
			names = append(names, name)
			lines += len(values)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	ends := make([]int, 0, lines)
	for _, name := range names {
		for _, v := range header[name] {
			b.WriteString(name)
			b.WriteString(": ")
			b.WriteString(textproto.TrimString(lineBreaks.Replace(v)))
			ends = append(ends, b.Len())
			b.WriteString("\r\n")
		}
	}
	c.Head = b.String()
	c.fields = make([]field, 0, len(names))
	c.values = make([]string, 0, lines)
	at := 0
	for _, name := range names {
		f := field{name: c.Head[at : at+len(name)], first: len(c.values)}
		for range header[name] {
			end := ends[len(c.values)]
			c.values = append(c.values, c.Head[at+len(name)+len(": "):end])
			at = end + len("\r\n")
		}
		f.last = len(c.values)
		c.fields = append(c.fields, f)
	}
}

// CopyHeader adds the stored fields to dst. The value slices are shared with the copy and must not be written to.
func (c *Copy) CopyHeader(dst http.Header) {
	for _, f := range c.fields {
		dst[f.name] = c.values[f.first:f.last:f.last]
	}
}

// Header is the stored header section as a map of its own.
func (c *Copy) Header() http.Header {
	h := make(http.Header, len(c.fields))
	c.CopyHeader(h)
	return h
}

// Values are the values of a field by its canonical name, shared with the copy.
func (c *Copy) Values(name string) []string {
	for _, f := range c.fields {
		if f.name == name {
			return c.values[f.first:f.last:f.last]
		}
	}
	return nil
}

// Get is the first value of a field by its canonical name, or "".
func (c *Copy) Get(name string) string {
	for _, f := range c.fields {
		if f.name == name {
			return c.values[f.first]
		}
	}
	return ""
}

// Hit counts a read at a time and says the number of reads so far.
func (u *Use) Hit(now time.Time) uint32 {
	u.read.Store(now.UnixNano())
	n := u.Hits.Load()
	if n == ^uint32(0) {
		return n
	}
	return u.Hits.Add(1)
}

// Outdate makes the copy stale, if it is not so already.
func (u *Use) Outdate() { u.outdated.Store(true) }

// Fail notes that the origin failed to give the copy anew, and has it left alone for as long as pause says after that many failures in
// a row. All who waited for one answer may note it: it counts once. standsIn says that it was an error for which a copy may be served.
func (u *Use) Fail(now time.Time, standsIn bool, pause func(failures uint32) time.Duration) {
	until, failures := u.notUntil.Load(), u.Failures.Load()+1
	if now.UnixNano() >= until && u.notUntil.CompareAndSwap(until, now.Add(pause(failures)).UnixNano()) {
		u.Failures.Store(failures)
		u.failing.Store(standsIn)
	} else if standsIn {
		u.failing.Store(true)
	}
}

// Failing reports whether the copy, where it may stand in for the origin, is to do so without asking first: the origin failed and is
// left alone, or somebody else is asking it again.
func (u *Use) Failing(now time.Time) bool {
	return u.failing.Load() && (now.UnixNano() < u.notUntil.Load() || u.Renewing.Load())
}

// StartRenewal reports whether the caller may renew the copy now; it then must call EndRenewal.
func (u *Use) StartRenewal(now time.Time) bool {
	return now.UnixNano() >= u.notUntil.Load() && u.Renewing.CompareAndSwap(false, true)
}

// EndRenewal lets the next renewal start, after the pause.
func (u *Use) EndRenewal(now time.Time, pause time.Duration) {
	if pause > 0 {
		u.notUntil.Store(now.Add(pause).UnixNano())
	}
	u.Renewing.Store(false)
}

// Sizes of what the memory tier holds around an item: its node, its place in the hash table and in the policy's queues,
// slice headers. Measured as heap per entry minus payload.
const (
	copyOverhead  = 512
	otherOverhead = 170
)

// Above largeObject the allocator gives whole pages; below it, sizes in classes that waste a sixteenth on average.
const (
	largeObject = 32 << 10
	heapPage    = 8 << 10
)

// allocated is what n bytes take on the heap.
func allocated(n int) int {
	if n <= largeObject {
		return n + n/16
	}
	return (n + heapPage - 1) / heapPage * heapPage
}

func (c *Copy) cost() int {
	n := copyOverhead + len(c.Head) + len(c.Asked) + allocated(cap(c.body)) + 8*cap(c.Members) + 16*cap(c.values) + 32*cap(c.fields) + c.coded.cost()
	for _, v := range c.Vary {
		n += 16 + len(v)
	}
	return n
}
