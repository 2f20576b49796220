// Package shop keeps the sample shop (cmd/cacheproxy/demo) on a real PostgreSQL, for tests and benchmarks to put the proxy
// in front of: its product page is a join of ten tables.
package shop
