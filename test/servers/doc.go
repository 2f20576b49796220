// Package servers starts real servers for tests and benchmarks: each on a free
// loopback port, with its files in a temporary folder, and stopped again when
// the test ends.
//
// Nothing here is a fake and nothing is skipped: where a server's program is
// not installed, the test fails and says how to install it. Only where one of
// two programs that do the same is missing, the tests on that one are skipped.
package servers
