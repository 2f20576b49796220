package main

import (
	"context"

	"cacheproxy/observe"
	"cacheproxy/store"
)

// sharedCopies are the copies on the server, and who may fetch what nobody has.
type sharedCopies struct {
	tier   store.Tier   // nil: there are none
	claims store.Claims // nil: each fetches for itself
	run    []func(context.Context) error
	gauges *observe.TierGauges
	limit  func(maxObject int64) // changes the length beyond which copies are not kept there; nil: there are none
}

// newSharedCopies makes the tier of copies on the server. Copies are read only while the lease holds: what they would be asked
// for is not known to be valid without it.
func (f *fleet) newSharedCopies(maxObject int64) sharedCopies {
	return sharedCopies{}
}
