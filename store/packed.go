package store

import (
	"time"
	"unsafe"

	"cacheproxy/invalidation"
	"cacheproxy/policy/httpcache"
)

// packed is what a stored copy consists of. It stands in one block with the rest, in this order and without anything between, up to
// the next multiple of eight bytes where a word follows:
//
//	entry    links, and what the key is       entryOf(c)
//	Copy     with this                        c
//	key      for the table
//	names    a word each                      Members
//	wide     three words, where flagWide
//	plain    a word, where coded              Length
//	asked    head    body
//
// Everything has its place by its own lengths, so that a block can be copied to another place as it is.
type packed struct {
	received   time.Time // with one of the locations that are not Go's to collect
	date       int64     // seconds of the Unix time
	initialAge time.Duration
	keep       time.Duration
	bodyLength int64

	dateNanoseconds            uint32
	fresh, revalidate, ifError uint32 // in units, unless flagWide
	headLength, askedLength    uint32
	names                      uint16
	vary                       uint16 // in lists
	flags                      uint8
	coding                     httpcache.Coding
}

const (
	flagMustRevalidate = 1 << iota
	flagNoCache
	// flagWide says that a duration does not fit, and all three stand in words of their own.
	flagWide
)

// unit is that of a duration of a packed copy. Most are of seconds.
const unit = time.Millisecond

const (
	entrySize = unsafe.Sizeof(entry{})
	copySize  = unsafe.Sizeof(Copy{})
	wordSize  = 8
)

// cell is the beginning of a copy's block.
type cell struct {
	entry
	copied Copy
}

func entryOf(c *Copy) *entry { return (*entry)(unsafe.Add(unsafe.Pointer(c), -int(entrySize))) }

func copyOf(e *entry) *Copy { return &(*cell)(unsafe.Pointer(e)).copied }

// aligned is where the next word may stand.
func aligned(n int) int { return (n + wordSize - 1) &^ (wordSize - 1) }

// places says where each part is, from the beginning of the Copy.
type places struct{ names, wide, plain, asked, head, body, end int }

func (p *packed) places(key uint32) (at places) {
	at.names = aligned(int(copySize) + int(key))
	at.wide = at.names + wordSize*int(p.names)
	at.plain = at.wide
	if p.flags&flagWide != 0 {
		at.plain += 3 * wordSize
	}
	at.asked = at.plain
	if p.coding != httpcache.Identity {
		at.asked += wordSize
	}
	at.head = at.asked + int(p.askedLength)
	at.body = at.head + int(p.headLength)
	at.end = at.body + int(p.bodyLength)
	return at
}

func (p *packed) placesOf(c *Copy) places { return p.places(entryOf(c).key) }

func text(c *Copy, at int, length uint32) string {
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(c), at)), length)
}

func (p *packed) asked(c *Copy) string {
	if p.askedLength == 0 {
		return ""
	}
	return text(c, p.placesOf(c).asked, p.askedLength)
}

func (p *packed) head(c *Copy) string {
	if p.headLength == 0 {
		return ""
	}
	return text(c, p.placesOf(c).head, p.headLength)
}

func (p *packed) body(c *Copy) []byte {
	if p.bodyLength == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(c), p.placesOf(c).body)), p.bodyLength)
}

func (p *packed) members(c *Copy) []invalidation.ID {
	if p.names == 0 {
		return nil
	}
	return unsafe.Slice((*invalidation.ID)(unsafe.Add(unsafe.Pointer(c), p.placesOf(c).names)), int(p.names))
}

func (p *packed) length(c *Copy) int {
	if p.coding == httpcache.Identity {
		return int(p.bodyLength)
	}
	return *(*int)(unsafe.Add(unsafe.Pointer(c), p.placesOf(c).plain))
}

func (p *packed) lifetime(c *Copy) httpcache.Lifetime {
	l := httpcache.Lifetime{
		Date: time.Unix(p.date, int64(p.dateNanoseconds)).UTC(), Received: p.received, InitialAge: p.initialAge,
		Fresh: time.Duration(p.fresh) * unit, StaleWhileRevalidate: time.Duration(p.revalidate) * unit, StaleIfError: time.Duration(p.ifError) * unit,
		Keep: p.keep, MustRevalidate: p.flags&flagMustRevalidate != 0, NoCache: p.flags&flagNoCache != 0,
	}
	if p.flags&flagWide != 0 {
		wide := p.wide(c)
		l.Fresh, l.StaleWhileRevalidate, l.StaleIfError = wide[0], wide[1], wide[2]
	}
	return l
}

func (p *packed) wide(c *Copy) *[3]time.Duration {
	return (*[3]time.Duration)(unsafe.Add(unsafe.Pointer(c), p.placesOf(c).wide))
}

// packingOf is the fixed part of a copy in Go's memory.
func packingOf(c *Copy, vary uint16) packed {
	life := c.Life()
	p := packed{
		received: life.Received, date: life.Date.Unix(), dateNanoseconds: uint32(life.Date.Nanosecond()), initialAge: life.InitialAge, keep: life.Keep,
		bodyLength: int64(len(c.Body())), headLength: uint32(len(c.Head())), askedLength: uint32(len(c.Asked())), names: uint16(len(c.Members())),
		vary: vary, coding: c.Coding(),
	}
	if zone := life.Received.Location(); zone != time.Local && zone != time.UTC {
		p.received = life.Received.UTC()
	}
	for _, d := range []struct {
		of time.Duration
		to *uint32
	}{{life.Fresh, &p.fresh}, {life.StaleWhileRevalidate, &p.revalidate}, {life.StaleIfError, &p.ifError}} {
		if *d.to = uint32(d.of / unit); time.Duration(*d.to)*unit != d.of {
			p.flags |= flagWide
		}
	}
	if life.MustRevalidate {
		p.flags |= flagMustRevalidate
	}
	if life.NoCache {
		p.flags |= flagNoCache
	}
	return p
}

// pack fills a block with a copy and its key; the block has room for both, and p says of what length everything is.
func (p *packed) pack(at *cell, key string, from *Copy, made *made) *Copy {
	at.entry = entry{key: uint32(len(key))}
	c := &at.copied
	// What a copy has of atomics is moved as it is: nobody else has the new one yet.
	copy(unsafe.Slice((*byte)(unsafe.Pointer(c)), copySize), unsafe.Slice((*byte)(unsafe.Pointer(from)), copySize))
	c.packed, c.made = *p, made
	c.references.Store(1)
	end := c.packed.placesOf(c).end
	block := unsafe.Slice((*byte)(unsafe.Pointer(c)), end)
	copy(block[copySize:], key)
	copy(c.packed.members(c), from.Members())
	if p.flags&flagWide != 0 {
		life := from.Life()
		*c.packed.wide(c) = [3]time.Duration{life.Fresh, life.StaleWhileRevalidate, life.StaleIfError}
	}
	places := c.packed.placesOf(c)
	if p.coding != httpcache.Identity {
		*(*int)(unsafe.Pointer(&block[places.plain])) = from.Length()
	}
	copy(block[places.asked:], from.Asked())
	copy(block[places.head:], from.Head())
	copy(block[places.body:], from.Body())
	return c
}
