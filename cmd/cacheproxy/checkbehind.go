package main

import (
	"fmt"

	"cacheproxy/config"
	"cacheproxy/writebehind"
)

// acceptance says what has to be true before the proxy accepts a write.
func acceptance(rules *writebehind.Rules) string {
	asked := "nobody is asked whether the client may write"
	if rules.AuthorizeUpstream != "" {
		asked = "upstream " + rules.AuthorizeUpstream + " allows it at " + rules.AuthorizePath
	}
	safe := map[writebehind.Durability]string{
		writebehind.Fsync: "it is on Valkey's disk", writebehind.Replicas: "a replica of Valkey has it in its memory",
	}[rules.Durability]
	return fmt.Sprintf("when %s, and %s; up to %s of the route and %d of a key wait, of %s each; then it reaches the upstream in the order of its key, and makes copies unusable as write-through does",
		asked, safe, count(rules.MaxQueued, "write"), rules.MaxPerKey, config.SizeText(rules.MaxBody))
}

// lost says which accepted writes a crash loses.
func lost(rules *writebehind.Rules) string {
	const none = "nothing with a proxy"
	if rules.Durability == writebehind.Fsync {
		return none + ", with Valkey's process, or with the power of an honest disk; with Valkey's machine: what no replica has yet"
	}
	return none + "; with Valkey's machine: nothing, as long as the replica that has it is promoted; with all machines at once: what was not on a disk yet"
}

func triedAgain(rules *writebehind.Rules) string {
	const late = "; after a timeout as long again passes first, and an upstream that is slower yet has to heed X-Write-Sequence, else an old write may come last"
	text := "PUT and DELETE, and what was not sent or was refused unseen, for " + config.DurationText(rules.MaxAge)
	if rules.Repeats {
		return "everything, because the upstream heeds Idempotency-Key, for " + config.DurationText(rules.MaxAge) + "; then, and what the upstream refuses: an operator decides (cacheproxy writes)" + late
	}
	return text + "; of any other write nobody knows whether it was done: an operator decides (cacheproxy writes), and later writes of its key wait" + late
}

func meanwhile(rules *writebehind.Rules) string {
	switch rules.ReadPending {
	case writebehind.Overlay:
		others := "or where the upstream's own answer to the reader is for everybody"
		if rules.AuthorizeUpstream != "" {
			others = "and " + rules.AuthorizeUpstream + " allows the read"
		}
		return "see what the last write puts there where the reader is its writer, " + others + "; all others wait, up to " + config.DurationText(rules.Patience) + "; then 503"
	case writebehind.Wait:
		return "wait for the writes before them, up to " + config.DurationText(rules.Patience) + "; then 503"
	}
	return "do not see what is accepted and not done"
}
