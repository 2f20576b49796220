// Package attack is a standing attack on the built program: clients and an API that say, in every order, what HTTP allows and some of what
// it does not, break off at every byte, and hold everything that comes back against what the API has said. It runs for as long as is asked:
//
//	make attack DURATION=10m SEED=7
//
// One proxy alone and three on a shared Valkey are attacked at the same time. What holds at every moment:
//
//   - stale: no answer is older than what a purge or a write had acknowledged before it was asked for (package promise).
//   - personal: no answer names another client than the one who asked.
//   - bytes: a body is that of one answer of the API, whole, or a range of it, or is seen to be cut. What the API has cut is never
//     taken for whole.
//   - fields: of what passes, the API hears every field that the client sent, and the client every one of the API, but those of a stated list.
//   - forged: what somebody without a secret has written to Valkey is not served; it would break the rule of bytes.
//   - smuggled: no bytes of a body become a request.
//   - rfc9111: a copy is used only if the API let it be stored, only for its lifetime, only for who its Vary fits, and with the age
//     that it has (RFC 9111 §3, §4).
//   - cause: no 5xx of the proxy's own where neither the API nor the request was broken.
//   - rest: when all is quiet again, places, streams and connections are free, and goroutines and memory are back where they were.
//   - panic: nothing in the log of one.
//
// After heads that have no content, of answers to HEAD and of 304, the API sometimes sends content in the form of another answer.
//
// A finding prints the seed, the exchange, the plan of its resource, and what came before on it. The seed decides what is said; in which order
// the lanes get to it, the machine does.
package attack
