package store

import (
	"net/http"
	"strings"
	"sync/atomic"
	"unsafe"

	"cacheproxy/invalidation"
	"cacheproxy/policy/httpcache"

	"github.com/cespare/xxhash/v2"
)

// Copy is a stored response, and a handle to its bytes: see the package's contract on references. A new copy is in Go's memory, and its maker sets its
// lifetime, members and so on. A Store packs a copy of it into memory that is not Go's: of that, only Use and Stamp change, and everything may be read
// concurrently.
type Copy struct {
	Stamp invalidation.Stamp
	// Digest is a hash of status and body, to tell whether a later answer differs.
	Digest uint64
	// Use counts reads and guards renewal. Requests write it while others read.
	Use Use

	// serial identifies a stored copy; 0: it was not stored yet. A packed copy has the serial of the copy that it was packed from.
	serial atomic.Uint32

	packed packed // of a packed copy; of any other, only its status is used
}

// loose is a copy in Go's memory, with what it consists of.
type loose struct {
	Copy
	made made
}

// made is what a copy in Go's memory consists of.
type made struct {
	life    httpcache.Lifetime
	vary    []string
	asked   string
	members []invalidation.ID
	head    string
	body    []byte
	coded   *coded // nil: the body is as it came
	base    *Copy  // the copy whose body this one shares, and has a reference to; nil: it has its own
}

// newLoose makes a copy in Go's memory that has no body yet.
func newLoose(status int, digest uint64, m made) *Copy {
	l := &loose{Copy: Copy{Digest: digest}, made: m}
	l.packed.status = uint16(status)
	return &l.Copy
}

// isPacked reports whether the copy is packed. If not, it has a made.
func (c *Copy) isPacked() bool { return c.packed.room != 0 }

func (c *Copy) made() *made { return &(*loose)(unsafe.Pointer(c)).made }

// Status is the status code of the response.
func (c *Copy) Status() int { return int(c.packed.status) }

// Life is for how long the copy may be used.
func (c *Copy) Life() httpcache.Lifetime {
	if !c.isPacked() {
		return c.made().life
	}
	return c.packed.lifetime(c)
}

// Vary names the request header fields that selected this copy, canonical and sorted. It must not be written to.
func (c *Copy) Vary() []string {
	if c.isPacked() {
		return roomOf(c).lists.at(c.packed.vary)
	}
	return c.made().vary
}

// Asked is what the request that fetched the copy said of the answer that it wants, as httpcache.Negotiation writes it: a renewal
// says the same. Empty: it said nothing, or that is not known. It is a view.
func (c *Copy) Asked() string {
	if !c.isPacked() {
		return c.made().asked
	}
	return c.packed.asked(c)
}

// Members are the names of the copy, sorted, as Ledger.Check wants them. They may be a view, and must not be written to.
func (c *Copy) Members() []invalidation.ID {
	if !c.isPacked() {
		return c.made().members
	}
	return c.packed.members(c, nil)
}

// Head is the header section ready to write: "Name: value\r\n" for each field line, in canonical case and sorted by name, without those
// that differ from answer to answer (Age, Cache-Status, Connection). It is a view.
func (c *Copy) Head() string {
	if !c.isPacked() {
		return c.made().head
	}
	return c.packed.head(c)
}

// Body is the response's, unless Coding says that it is held in another form than the header describes. It is a view, and must not be
// written to.
func (c *Copy) Body() []byte {
	if !c.isPacked() {
		return c.made().body
	}
	return c.packed.body(c)
}

// SetLife sets Life. Like the other setters, it may be called only before the copy is handed to a Store, and its argument must not be written to
// afterwards.
func (c *Copy) SetLife(life httpcache.Lifetime) { c.own().life = life }

// SetVary sets Vary.
func (c *Copy) SetVary(names []string) { c.own().vary = names }

// SetAsked sets Asked.
func (c *Copy) SetAsked(text string) { c.own().asked = text }

// SetMembers sets Members.
func (c *Copy) SetMembers(ids []invalidation.ID) { c.own().members = ids }

// own is made, for setters: it panics if the copy is packed.
func (c *Copy) own() *made {
	if c.isPacked() {
		panic("store: a copy is changed that is stored")
	}
	return c.made()
}

// same reports whether two copies are the same one: identical, or one packed from the other.
func (c *Copy) same(other *Copy) bool {
	if c == other || c == nil || other == nil {
		return c == other
	}
	n := c.serial.Load()
	return n != 0 && n == other.serial.Load() && c.Digest == other.Digest // serials repeat after four billion copies
}

// serials is the last serial that was assigned.
var serials atomic.Uint32

// number assigns a serial to the copy, if it has none.
func (c *Copy) number() {
	if c.serial.Load() == 0 {
		c.serial.CompareAndSwap(0, max(serials.Add(1), 1))
	}
}

// NewCopy seals a response: header is what policy keeps of the origin's, and neither it nor body is written to afterwards by the
// caller, who has a reference to the copy.
func NewCopy(status int, header http.Header, body []byte) *Copy {
	c := newLoose(status, Digest(status, body), made{head: headOf(header)})
	return c.begin(body[:len(body):len(body)])
}

// WithHeader makes a copy of the same body with another header section, as after a 304 (RFC 9111 §4.3.4). The caller must have a
// reference to the first, and has one to the second.
func (c *Copy) WithHeader(header http.Header) *Copy {
	m := made{vary: c.Vary(), asked: strings.Clone(c.Asked()), head: headOf(header)}
	if c.Coding() != httpcache.Identity {
		m.coded = &coded{coding: c.Coding(), length: c.Length()}
	}
	return newLoose(c.Status(), c.Digest, m).share(c)
}

// Digest is the digest that a copy of this status and body would have.
func Digest(status int, body []byte) uint64 { return xxhash.Sum64(body) ^ uint64(status) }

// Estimated overhead of an item in Go's memory, in bytes.
const (
	copyOverhead  = 512
	otherOverhead = 120
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

// cost is the memory of a copy in Go's memory, in bytes. Among stored items, only Parts have such a copy.
func (c *Copy) cost() int {
	n := copyOverhead + len(c.Head()) + len(c.Asked()) + allocated(len(c.Body())) + 8*cap(c.Members())
	for _, v := range c.Vary() {
		n += 16 + len(v)
	}
	return n
}
