// Package behind makes queued writes through several instances of the built program while these and their servers fail, and looks at what an
// origin has of them in the end:
//
//	go test -C test/system ./behind                                          a short run
//	go test -C test/system ./behind -timeout 0 -v -args -for 2m30s -rate 1000 -clients 1000 -outage 1m   a long one
package behind
