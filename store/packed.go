package store

import (
	"encoding/binary"
	"time"
	"unsafe"

	"cacheproxy/invalidation"
	"cacheproxy/policy/httpcache"
)

// packed is the fixed part of a stored copy. A copy is one block of memory with these parts, in this order and without gaps:
//
//	entry    links of the table               entryOf(c)
//	Copy     with packed                      c
//	names    a word each                      Members, without those of the family
//	wide     only with flagWide
//	plain    a word, only with a coding       Length
//	key      without the family's prefix      for the table
//	asked    head    body
//
// The offset of each part follows from the lengths of the parts, so that a block can be moved by copying it. Blocks are kept small: what many copies
// share is in a family or a list, and numbers that are mostly small have few bits. If one of these does not fit, all of them are in wide.
type packed struct {
	initialAge uint32    // ns
	received   [4]uint32 // the time.Time without its location, see timeWords
	fresh      uint32    // ms
	bodyLength uint32
	headLength uint32

	date                uint16 // Unix time of Lifetime.Date less that of received, in seconds, as an int16; dateIsReceived: equal to received
	revalidate, ifError uint16 // see shortOf
	status              uint16
	names               uint16 // how many names the block has
	vary                uint16 // number in lists
	family              uint16 // number in families
	keyLength           uint16 // without the family's prefix
	room                uint16 // number in rooms; 0: the copy is not packed
	askedLength         uint8
	flags               uint8
}

const (
	flagMustRevalidate = 1 << iota
	flagNoCache
	flagWide
	// flagLocal: received is in time.Local; otherwise in UTC.
	flagLocal
	// flagValidator: Lifetime.Keep is WorthKeeping(true); otherwise WorthKeeping(false).
	flagValidator
	// flagShares: the copy also has all names of its family.
	flagShares

	codingAt = 6 // bit at which the coding begins, above the flags

	dateIsReceived = 1 << 15
)

// wide has everything that may not fit into packed: seconds of a Unix time, nanoseconds and bytes.
type wide struct {
	date, dateNanoseconds                          int64
	initialAge, fresh, revalidate, ifError, keep   time.Duration
	bodyLength, headLength, askedLength, keyLength int64
}

const (
	entrySize = unsafe.Sizeof(entry{})
	copySize  = unsafe.Sizeof(Copy{})
	wideSize  = unsafe.Sizeof(wide{})
	wordSize  = 8
)

// cell is the beginning of a copy's block.
type cell struct {
	entry
	copied Copy
}

func entryOf(c *Copy) *entry { return (*entry)(unsafe.Add(unsafe.Pointer(c), -int(entrySize))) }

func copyOf(e *entry) *Copy { return &(*cell)(unsafe.Pointer(e)).copied }

// lengths are the lengths, in bytes, of the variable parts of a block.
type lengths struct{ key, asked, head, body int }

func (p *packed) lengths(c *Copy) lengths {
	if p.flags&flagWide != 0 {
		w := p.wide(c)
		return lengths{int(w.keyLength), int(w.askedLength), int(w.headLength), int(w.bodyLength)}
	}
	return lengths{int(p.keyLength), int(p.askedLength), int(p.headLength), int(p.bodyLength)}
}

// places has the offset of each part from the beginning of the Copy.
type places struct{ wide, plain, key, asked, head, body, end int }

func (p *packed) places(l lengths) (at places) {
	at.wide = int(copySize) + wordSize*int(p.names)
	at.plain = at.wide
	if p.flags&flagWide != 0 {
		at.plain += int(wideSize)
	}
	at.key = at.plain
	if p.coding() != httpcache.Identity {
		at.key += wordSize
	}
	at.asked = at.key + l.key
	at.head = at.asked + l.asked
	at.body = at.head + l.head
	at.end = at.body + l.body
	return at
}

func (p *packed) placesOf(c *Copy) places { return p.places(p.lengths(c)) }

func text(c *Copy, at, end int) string {
	if at == end {
		return ""
	}
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(c), at)), end-at)
}

// key is the key without the family's prefix.
func (p *packed) key(c *Copy) string {
	if p.flags&flagWide != 0 {
		at := p.placesOf(c)
		return text(c, at.key, at.asked)
	}
	end := p.headAt() - int(p.askedLength)
	return text(c, end-int(p.keyLength), end)
}

func (p *packed) asked(c *Copy) string {
	at := p.placesOf(c)
	return text(c, at.asked, at.head)
}

// headAt is places.head without flagWide. It is separate because a hit needs it several times.
func (p *packed) headAt() int {
	at := int(copySize) + wordSize*int(p.names) + int(p.keyLength) + int(p.askedLength)
	if p.flags>>codingAt != 0 {
		at += wordSize
	}
	return at
}

func (p *packed) head(c *Copy) string {
	if p.flags&flagWide != 0 {
		at := p.placesOf(c)
		return text(c, at.head, at.body)
	}
	at := p.headAt()
	return text(c, at, at+int(p.headLength))
}

func (p *packed) body(c *Copy) []byte {
	at, length := p.headAt()+int(p.headLength), int(p.bodyLength)
	if p.flags&flagWide != 0 {
		places := p.placesOf(c)
		at, length = places.body, places.end-places.body
	}
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(c), at)), length)
}

// ownNames are the names without those of the family. They are a view.
func (p *packed) ownNames(c *Copy) []invalidation.ID {
	if p.names == 0 {
		return nil
	}
	return unsafe.Slice((*invalidation.ID)(unsafe.Add(unsafe.Pointer(c), copySize)), int(p.names))
}

// members returns all members, sorted: as a view, or, if some are in the family, appended to room, which must be empty.
func (p *packed) members(c *Copy, room []invalidation.ID) []invalidation.ID {
	own := p.ownNames(c)
	if p.flags&flagShares == 0 {
		return own
	}
	shared := roomOf(c).families.at(p.family).names
	if cap(room) < len(shared)+len(own) {
		room = make([]invalidation.ID, 0, len(shared)+len(own))
	}
	for len(shared) > 0 && len(own) > 0 {
		from := &shared
		if own[0] < shared[0] {
			from = &own
		}
		room, *from = append(room, (*from)[0]), (*from)[1:]
	}
	return append(append(room, shared...), own...)
}

// membersIn is Members without an allocation, if room, which must be empty, has enough capacity.
func (c *Copy) membersIn(room []invalidation.ID) []invalidation.ID {
	if !c.isPacked() {
		return c.made().members
	}
	return c.packed.members(c, room)
}

func (p *packed) coding() httpcache.Coding { return httpcache.Coding(p.flags >> codingAt) }

func (p *packed) length(c *Copy) int {
	if p.coding() == httpcache.Identity {
		return len(p.body(c))
	}
	return *(*int)(unsafe.Add(unsafe.Pointer(c), p.placesOf(c).plain))
}

func (p *packed) wide(c *Copy) *wide {
	return (*wide)(unsafe.Add(unsafe.Pointer(c), int(copySize)+wordSize*int(p.names)))
}

func (p *packed) lifetime(c *Copy) (l httpcache.Lifetime) {
	*timeWords(&l.Received) = p.received
	if p.flags&flagLocal != 0 {
		l.Received = l.Received.Local()
	}
	l.MustRevalidate, l.NoCache = p.flags&flagMustRevalidate != 0, p.flags&flagNoCache != 0
	if p.flags&flagWide != 0 {
		w := p.wide(c)
		l.Date, l.InitialAge = time.Unix(w.date, w.dateNanoseconds).UTC(), w.initialAge
		l.Fresh, l.StaleWhileRevalidate, l.StaleIfError, l.Keep = w.fresh, w.revalidate, w.ifError, w.keep
		return l
	}
	if p.date == dateIsReceived {
		l.Date = time.Unix(l.Received.Unix(), int64(l.Received.Nanosecond())).UTC()
	} else {
		l.Date = time.Unix(l.Received.Unix()+int64(int16(p.date)), 0).UTC()
	}
	l.InitialAge, l.Fresh = time.Duration(p.initialAge), time.Duration(p.fresh)*time.Millisecond
	l.StaleWhileRevalidate, l.StaleIfError = durationOf(p.revalidate), durationOf(p.ifError)
	l.Keep = l.WorthKeeping(p.flags&flagValidator != 0)
	return l
}

// timeWords are the words of a time.Time before its location. The location, which comes last, is a pointer that Go's collector may have to see, and so
// must not be in a block.
func timeWords(t *time.Time) *[4]uint32 { return (*[4]uint32)(unsafe.Pointer(t)) }

// shortUnits are the units in which shortOf expresses durations. Configured durations are small multiples of one of them.
var shortUnits = [...]time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour}

// shortOf packs a duration into fourteen bits for a number and two for its unit. The caller must check with durationOf whether it fits.
func shortOf(d time.Duration) uint16 {
	for i, unit := range shortUnits {
		if n := d / unit; d%unit == 0 && n >= 0 && n < 1<<14 {
			return uint16(n)<<2 | uint16(i)
		}
	}
	return 0
}

func durationOf(short uint16) time.Duration { return time.Duration(short>>2) * shortUnits[short&3] }

// packingOf returns the packed and the wide of a copy, whose block has keyLength bytes of its key.
func packingOf(c *Copy, keyLength int) (p packed, w wide) {
	life := c.Life()
	w = wide{
		date: life.Date.Unix(), dateNanoseconds: int64(life.Date.Nanosecond()),
		initialAge: life.InitialAge, fresh: life.Fresh, revalidate: life.StaleWhileRevalidate, ifError: life.StaleIfError, keep: life.Keep,
		bodyLength: int64(len(c.Body())), headLength: int64(len(c.Head())), askedLength: int64(len(c.Asked())), keyLength: int64(keyLength),
	}
	p = packed{
		initialAge: uint32(w.initialAge), fresh: uint32(w.fresh / time.Millisecond), revalidate: shortOf(w.revalidate), ifError: shortOf(w.ifError),
		bodyLength: uint32(w.bodyLength), headLength: uint32(w.headLength), askedLength: uint8(w.askedLength), keyLength: uint16(w.keyLength),
		status: uint16(c.Status()), flags: uint8(c.Coding()) << codingAt,
	}
	received := life.Received
	switch received.Location() {
	case time.Local:
		p.flags |= flagLocal
	case time.UTC:
	default:
		received = received.UTC()
	}
	p.received = *timeWords(&received)
	sinceReceived := w.date - received.Unix()
	if p.date = uint16(sinceReceived); life.Date.Equal(received) {
		p.date = dateIsReceived
	} else if int64(int16(p.date)) != sinceReceived || p.date == dateIsReceived || w.dateNanoseconds != 0 {
		p.flags |= flagWide
	}
	switch w.keep {
	case life.WorthKeeping(true):
		p.flags |= flagValidator
	case life.WorthKeeping(false):
	default:
		p.flags |= flagWide
	}
	if time.Duration(p.initialAge) != w.initialAge || time.Duration(p.fresh)*time.Millisecond != w.fresh || durationOf(p.revalidate) != w.revalidate ||
		durationOf(p.ifError) != w.ifError || int64(p.bodyLength) != w.bodyLength || int64(p.headLength) != w.headLength ||
		int64(p.askedLength) != w.askedLength || int64(p.keyLength) != w.keyLength {
		p.flags |= flagWide
	}
	if life.MustRevalidate {
		p.flags |= flagMustRevalidate
	}
	if life.NoCache {
		p.flags |= flagNoCache
	}
	return p, w
}

// packing is everything that is written into the block of a copy.
type packing struct {
	packed
	wide  wide
	from  *Copy
	key   string            // without the family's prefix
	names []invalidation.ID // without those of the family
}

// size is the size of the block, in bytes.
func (p *packing) size() int {
	return int(entrySize) + p.places(lengths{len(p.key), len(p.from.Asked()), len(p.from.Head()), len(p.from.Body())}).end
}

// pack fills a block of at least size bytes behind its entry, and returns the packed copy, with one reference.
func (p *packing) pack(at *cell) *Copy {
	c := &at.copied
	// The atomics of the copy are copied as plain bytes: no other goroutine has the new copy yet.
	copy(unsafe.Slice((*byte)(unsafe.Pointer(c)), copySize), unsafe.Slice((*byte)(unsafe.Pointer(p.from)), copySize))
	c.packed = p.packed
	c.Use.references.Store(1)
	copy(c.packed.ownNames(c), p.names)
	if p.flags&flagWide != 0 {
		*c.packed.wide(c) = p.wide
	}
	places := c.packed.placesOf(c)
	block := unsafe.Slice((*byte)(unsafe.Pointer(c)), places.end)
	if p.coding() != httpcache.Identity {
		binary.NativeEndian.PutUint64(block[places.plain:], uint64(p.from.Length()))
	}
	copy(block[places.key:], p.key)
	copy(block[places.asked:], p.from.Asked())
	copy(block[places.head:], p.from.Head())
	copy(block[places.body:], p.from.Body())
	return c
}
