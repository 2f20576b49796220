// Package admin is the operator's listener: health, metrics, purges, explanations and kill switches.
//
// It knows nothing of stores or logs. What a call does is a func in Options; this package decides who may make the call,
// reads it without guessing, and words the answer. It fails closed: what is not understood in full is refused before
// anything changes, and a purge is answered with 200 only when it holds everywhere.
//
//	admin.go       Options, and the path of a call
//	auth.go        tokens and scopes; without tokens, loopback only and no browsers
//	guesses.go     who tries tokens out is answered later and later
//	audit.go       one line for every call
//	target.go      the request target as it came, unescaped exactly once
//	purge.go       the calls that purge, their answers and their audit
//	purgeurl.go    which copies a PURGE, a URL or a prefix names
//	purgebody.go   the body of POST /purge
//	understood.go  what a purge call may carry besides what it purges
//	pattern.go     names, URLs and prefixes that are meant as patterns
//	dialect.go     what to send instead of how other caches are purged
//	mode.go        switching routes, and the modes in force
//	reload.go      reading the configuration again
//	calls.go       explain, config, health
//	answer.go      JSON answers and problems
package admin
