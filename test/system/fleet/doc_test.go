// Package fleet tests several proxies on one Valkey before an origin that numbers its versions, and checks every answer: none
// may be older than the last purge or write that was acknowledged before it was asked for, whatever breaks meanwhile.
package fleet
