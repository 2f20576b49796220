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

// Copy is a stored response, and a handle to its bytes: see the package's contract on references. NewCopy and the other
// constructors make a Copy in Go's memory, where the maker sets its lifetime and names. A Store packs the copies that
// it is given into memory that is not Go's. In a packed copy only Use and Stamp change, and all fields may be read
// concurrently.
type Copy struct {
	Stamp invalidation.Stamp
	// Digest is a hash of status and body, to tell whether a later answer differs.
	Digest uint64
	// Use counts reads and guards renewal. Requests write it while others read.
	Use Use

	// serial tells stored copies apart. 0: the copy was not stored yet. A packed copy has the serial of the copy that
	// it was made from.
	serial atomic.Uint32

	packed packed // of a packed copy; any other has the status alone
}

// loose is a copy in Go's memory, with its parts.
type loose struct {
	Copy
	made made
}

// made has the parts of a copy in Go's memory.
type made struct {
	life    httpcache.Lifetime
	vary    []string
	asked   string
	members []invalidation.ID
	head    string
	body    []byte
	coded   *coded // nil: the body is as the origin sent it
	base    *Copy  // the copy whose body this copy shares, and to which it has a reference; nil: the body is its own
}

// newLoose makes a copy in Go's memory that has no body yet.
func newLoose(status int, digest uint64, m made) *Copy {
	l := &loose{Copy: Copy{Digest: digest}, made: m}
	l.packed.status = uint16(status)
	return &l.Copy
}

// isPacked reports whether the copy is packed. A copy that is not packed has a made.
func (c *Copy) isPacked() bool { return c.packed.room != 0 }

func (c *Copy) made() *made { return &(*loose)(unsafe.Pointer(c)).made }

// Status is the status code of the response.
func (c *Copy) Status() int { return int(c.packed.status) }

// Life is the copy's lifetime.
func (c *Copy) Life() httpcache.Lifetime {
	if !c.isPacked() {
		return c.made().life
	}
	return c.packed.lifetime(c)
}

// Vary names the request header fields that selected this copy, canonical and sorted. The caller must not write to the
// slice.
func (c *Copy) Vary() []string {
	if c.isPacked() {
		return roomOf(c).lists.at(c.packed.vary)
	}
	return c.made().vary
}

// Asked says which negotiation fields the request that fetched the copy had, in the form of httpcache.Negotiation. A
// renewal sends the same fields. Empty: the request had none, or they are not known. The string is a view.
func (c *Copy) Asked() string {
	if !c.isPacked() {
		return c.made().asked
	}
	return c.packed.asked(c)
}

// Members are the names of the copy, sorted, as Ledger.Check wants them. The slice may be a view, and the caller must
// not write to it.
func (c *Copy) Members() []invalidation.ID {
	if !c.isPacked() {
		return c.made().members
	}
	return c.packed.members(c, nil)
}

// Head is the header section ready to write: "Name: value\r\n" for each field line, in canonical case and sorted by
// name. The fields that differ from answer to answer are left out (Age, Cache-Status, Connection). The string is a
// view.
func (c *Copy) Head() string {
	if !c.isPacked() {
		return c.made().head
	}
	return c.packed.head(c)
}

// Body is the body of the response. Coding says whether the body is held in a form that the header does not describe.
// The slice is a view, and the caller must not write to it.
func (c *Copy) Body() []byte {
	if !c.isPacked() {
		return c.made().body
	}
	return c.packed.body(c)
}

// SetLife sets Life of a copy that was not handed to a Store yet. The other setters likewise panic on a packed copy.
// The copy keeps their arguments, which the caller must not write to afterwards.
func (c *Copy) SetLife(life httpcache.Lifetime) { c.own().life = life }

// SetVary sets Vary.
func (c *Copy) SetVary(names []string) { c.own().vary = names }

// SetAsked sets Asked.
func (c *Copy) SetAsked(text string) { c.own().asked = text }

// SetMembers sets Members.
func (c *Copy) SetMembers(ids []invalidation.ID) { c.own().members = ids }

// own has the parts of a copy that is not packed. own panics on a packed one.
func (c *Copy) own() *made {
	if c.isPacked() {
		panic("store: a copy is changed that is stored")
	}
	return c.made()
}

// same reports whether two handles are of one copy: the one that the maker has in Go's memory, and the one that the
// store has packed.
func (c *Copy) same(other *Copy) bool {
	if c == other || c == nil || other == nil {
		return c == other
	}
	n := c.serial.Load()
	return n != 0 && n == other.serial.Load() && c.Digest == other.Digest // serials repeat after four billion copies
}

// serials is the last serial that number has given out.
var serials atomic.Uint32

// number gives a copy a serial number if the copy has none.
func (c *Copy) number() {
	if c.serial.Load() == 0 {
		c.serial.CompareAndSwap(0, max(serials.Add(1), 1))
	}
}

// NewCopy seals a response. header is the part of the origin's header that policy keeps. The caller must not write to
// header or body afterwards, and has one reference to the copy.
func NewCopy(status int, header http.Header, body []byte) *Copy {
	c := newLoose(status, Digest(status, body), made{head: headOf(header)})
	return c.begin(body[:len(body):len(body)])
}

// WithHeader makes a copy of the same body with another header section, as after a 304 (RFC 9111 §4.3.4). The caller
// must have a reference to c, and has one reference to the new copy.
func (c *Copy) WithHeader(header http.Header) *Copy {
	m := made{vary: c.Vary(), asked: strings.Clone(c.Asked()), head: headOf(header)}
	if c.Coding() != httpcache.Identity {
		m.coded = &coded{coding: c.Coding(), length: c.Length()}
	}
	return newLoose(c.Status(), c.Digest, m).share(c)
}

// Digest is the digest of a copy with this status and body.
func Digest(status int, body []byte) uint64 { return xxhash.Sum64(body) ^ uint64(status) }

// Estimated sizes of the structures around an item in Go's memory, in bytes.
const (
	copyOverhead  = 512
	otherOverhead = 120
)

// Above largeObject the allocator gives whole pages. Below largeObject it gives sizes in classes that waste a sixteenth
// on average.
const (
	largeObject = 32 << 10
	heapPage    = 8 << 10
)

// allocated is how many bytes n bytes take on the heap.
func allocated(n int) int {
	if n <= largeObject {
		return n + n/16
	}
	return (n + heapPage - 1) / heapPage * heapPage
}

// cost is the memory of a copy in Go's memory, such as the Of of Parts. The store holds no other copies in Go's memory.
func (c *Copy) cost() int {
	n := copyOverhead + len(c.Head()) + len(c.Asked()) + allocated(len(c.Body())) + 8*cap(c.Members())
	for _, v := range c.Vary() {
		n += 16 + len(v)
	}
	return n
}
