// Package inventory checks that a stock which is read and written through several proxies is one register for each sku, whatever fails
// meanwhile: that what its clients were told could have been said by a database alone, one request at a time (linearizability, Herlihy and
// Wing 1990). Three instances of the built program share a Valkey before the sample shop on a PostgreSQL; Porcupine judges the history.
//
//	go test -C test/system ./inventory                                              some thousand requests
//	go test -C test/system ./inventory -timeout 0 -v -args -operations 100000       what make inventory runs
//
// A request of which nobody knows what it did, since its proxy was killed or its origin did not answer in time, may have been done at any
// time after it was sent, or never.
package inventory
