// Package admin is the operator's listener: health, metrics, purges, explanations and kill switches.
//
// The package knows nothing of stores or logs. The action of a call is a func in Options. This package admits the
// caller, parses the call without guessing, and words the answer. The package fails closed: a call that is not
// understood in full is refused before anything changes, and a purge is answered with 200 only when it holds
// everywhere.
//
//	admin.go       Options, and the path of a call
//	auth.go        tokens and scopes; without tokens, loopback only and no browsers
//	bounds.go      whose copies a caller may purge
//	guesses.go     who tries tokens out is answered later and later
//	audit.go       one line for every call
//	target.go      the request target as it came, unescaped exactly once
//	order.go       what a call asks to purge: the one way from every call to what becomes unusable
//	purge.go       the calls that purge, their answers and their audit
//	form.go        what an answer looks like to the one who asks
//	purgeurl.go    which copies a PURGE, a URL or a prefix names
//	purgebody.go   the body of POST /purge
//	understood.go  what a purge call may carry besides what it purges
//	foreign*.go    how plugins and scripts for other caches purge
//	pattern.go     names, URLs and prefixes that are meant as patterns
//	dialect.go     what to send instead of how other caches are purged
//	mode.go        switching routes, and the modes in force
//	reload.go      reading the configuration again
//	calls.go       explain, config, health
//	answer.go      JSON answers and problems
package admin
