// Package conformance holds the proxy against http-cache-tests, the suite by the editor of RFC 9111, and notices when a
// change makes it worse.
//
// The suite tells three kinds of tests apart: required (the RFC's words), optimal (a copy could have been used and was
// not) and check (how a cache behaves where the RFC leaves it open). A test that depends on another which was not passed
// counts as not passed. The results that are published count the passed ones of each kind.
package conformance
