// Package store keeps responses. A Store asks its tiers in order, the nearest first. The first tier is this process's
// memory, which every read of a request asks first. The tiers below memory are asked by fills, and by requests on the
// path of hits before they join a flight (Recall in package proxy/fill).
//
// The value under a storage key is an Item. A Copy is one response. Variants are the request header fields that select
// among several copies (RFC 9111 §4.1). A Mark, under the key of a question, says that the last answer to the question
// could not be shared, so that requests which ask it do not wait for each other (hit-for-miss). Copies of a URL that
// the clients' preferences tell apart have keys of their own, which preferred.go lists. Copies are immutable once
// stored. The ledger says whether a copy may be used, not the store, so a purge does not have to find and remove
// copies.
//
// # References
//
// A copy is a handle to bytes that Go does not collect. So references to copies are counted:
//
//   - Who owns. The caller who gets a copy or parts from this package has a reference to them: from a constructor
//     (NewCopy, NewCoded, WithHeader, Restore, NewParts), from a look-up (Found.Copy, Parts), or from a Tier. Hold
//     adds a reference for another goroutine, or for longer. Each key under which a copy is stored has a reference
//     of its own. Passing a copy to a Store does not consume the caller's reference.
//   - Who gives back. The owner of a reference calls Release exactly once, on every way out. A second Release
//     panics: it would take the bytes from a reader.
//   - What is valid for how long. All of a copy, its fields, the views that its methods return (Head, Get,
//     AppendValues, Asked, Members, Body) and Parts.Bytes are valid from when the reference is taken until the
//     reference is given back. A caller that keeps a view for longer clones the view. Nobody writes to views.
//     Header, Values and CopyHeaderAnd return values that the caller may keep: a server may write the header of an
//     answer after its handler has returned, as net/http does with headers that fit into its buffer. The server has
//     copied or sent the bytes of a body when Write returns.
//   - A copy becomes free when no key and no caller has a reference. A body becomes free with its last copy.
//
// # Memory
//
// A copy is made in Go's memory. A Store packs the copies that it is given. The packed copy and its key take one block
// of a slab.Heap (packed), without the parts that are common to the copies of its folder or host, which are stored once
// (family). The caller's copy and the packed copy are two objects with the same serial number. Packed data has no
// pointers. Blocks refer to each other by slab.Ref, half as long as a pointer, and to objects in Go's memory by number.
// So the collector neither scans copies nor lets Go's heap grow to twice their size: a table without such pointers
// (table) finds the copies and counts their bytes. A block leaves the table when its copy is replaced, evicted or
// removed, and the last Release gives the block back. A block that a slow client holds counts until then, and other
// copies make room for it. Tests overwrite every free block (Watch): code that uses a copy without a reference then
// reads other bytes, or crashes.
package store
