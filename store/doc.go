// Package store keeps responses. The tiers are asked in order, the nearest first; the first is this process's memory, and it is
// the only one that a request reads before it joins a flight.
//
// What is kept under a storage key is an Item: a Copy (one response), Variants (the request header fields that select
// among several copies, RFC 9111 §4.1), or a Mark (the last answer could not be shared, so requests for it do not wait
// for each other: hit-for-miss). Copies are immutable once stored; whether one may be used is asked of the ledger, not
// of the store, so nothing has to be found and removed when something is purged.
package store
