package mutants

// holdForever switches off the lease.
var holdForever = []edit{{"invalidation/lease.go", "	return l == nil || int64(now.Sub(l.base)) < l.until.Load() && now.UnixNano() < l.wall.Load()", "	return true"}}

// followers are the rules by which several instances follow one log.
var followers = []mutant{
	{
		name:  "a lease never lapses",
		edits: holdForever,
		pkg:   "./invalidation/fleet", run: "TestSimulation/instances",
	},
	{
		name:  "a writer takes its fence to stand without a lease",
		edits: []edit{{"invalidation/fleet/fences.go", " || !f.lease.Valid(now) || ", " || "}},
		pkg:   "./invalidation/fleet", run: "TestConclude",
	},
	{
		name:  "a writer takes its fence to stand on a server that may not know of it",
		edits: []edit{{"invalidation/fleet/fences.go", " || s.epoch != f.grace.epochStart || ", " || "}},
		pkg:   "./invalidation/fleet", run: "TestConclude",
	},
	{
		name:  "fences end in a log that does not know of them",
		edits: []edit{{"invalidation/fleet/recover.go", "!open[number] && !newLog && ", "!open[number] && "}},
		pkg:   "./invalidation/fleet", run: "TestFenceInAnotherLog",
	},
	{
		name:  "those who have not said that they have applied an entry are not waited for",
		edits: []edit{{"invalidation/fleet/confirmation.go", "		if name != c.follower.name && !w.applied[name] {", "		if name == \"\" && !w.applied[name] {"}},
		pkg:   "./invalidation/fleet", run: "TestSimulation/instances",
	},
	{
		name:  "any edition of the list counts",
		edits: []edit{{"invalidation/fleet/confirmation.go", ` || w.list.Edition != g.edition || `, ` || `}},
		pkg:   "./invalidation/fleet", run: "TestConfirmationInAnotherEditionOfTheList",
	},
	{
		name:  "the list of any server counts",
		edits: []edit{{"invalidation/fleet/confirmation.go", ` || w.list.Server != g.server || `, ` || `}},
		pkg:   "./invalidation/valkey", run: "TestAcknowledgementIsOfOneEntry",
	},
	{
		name: "a lease is extended before everything is applied",
		edits: []edit{{"invalidation/fleet/follower.go", "	if f.behind > 0 {\n		return SyncAgain\n	}\n	f.complete = q.Sent\n	if r.Server != \"\" {\n		f.extendLease(q.Sent, r.Live, now)\n	}",
			"	f.complete = q.Sent\n	if r.Server != \"\" {\n		f.extendLease(q.Sent, r.Live, now)\n	}\n	if f.behind > 0 {\n		return SyncAgain\n	}"}},
		pkg: "./invalidation/fleet", run: "TestLeaseNeedsEverything",
	},
	{
		name:  "a lease counts from the reply",
		edits: []edit{{"invalidation/fleet/follower.go", "	f.lease.Extend(sent.Add(f.duration - invalidation.Margin(f.duration)))", "	f.lease.Extend(now.Add(f.duration - invalidation.Margin(f.duration)))"}},
		pkg:   "./invalidation/fleet", run: "TestLeaseCountsFromTheRequest",
	},
	{
		name:  "late replies count",
		edits: []edit{{"invalidation/fleet/follower.go", "	if q.Beat != f.beat {", "	if false {"}},
		pkg:   "./invalidation/fleet", run: "TestLateReplyIsIgnored",
	},
	{
		name:  "a lease is taken from another server at once",
		edits: []edit{{"invalidation/fleet/grace.go", "		g.begin(now)\n	}\n	g.epochStart = now", "	}\n	g.epochStart = now"}},
		pkg:   "./invalidation/fleet", run: "TestGraceAfterAnotherServer",
	},
	{
		name:  "a lease is taken before others can know what this instance knows",
		edits: []edit{{"invalidation/fleet/follower.go", "!over || f.pending.owes() {", "!over {"}},
		pkg:   "./invalidation/fleet", run: "TestOwedEntriesGoBeforeTheLease",
	},
	{
		name:  "others are not heard before a lease is taken from another server",
		edits: []edit{{"invalidation/fleet/grace.go", "return g.unheard || quorum && waited", "return g.unheard || (quorum || true) && waited"}},
		pkg:   "./invalidation/fleet", run: "TestQuorumSettlesFirst",
	},
	{
		name:  "a log that was emptied counts as old as its server",
		edits: []edit{{"invalidation/fleet/recover.go", "		f.grace.epochStart = now // no instance has to be in the new log yet\n", ""}},
		pkg:   "./invalidation/fleet", run: "TestConfirmationInANewLog",
	},
	{
		name:  "no grace after a server has taken over",
		edits: []edit{{"invalidation/fleet/grace.go", "return g.epochStart.Add(g.leaseTimeout())", "return g.epochStart"}},
		pkg:   "./invalidation/fleet", run: "TestConfirmationAfterTakeover",
	},
	{
		name:  "instances are reaped before their lease has lapsed",
		edits: []edit{{"invalidation/fleet/detector.go", "now.Sub(h.at) >= invalidation.Timeout(p.lease())", "now.Sub(h.at) >= 0"}},
		pkg:   "./invalidation/fleet", run: "TestSimulation/instances",
	},
	{
		name:  "lost entries are not written again",
		edits: []edit{{"invalidation/fleet/recover.go", "	f.pending.add(key, r, now.Add(f.pending.jitter(key)), true)", "	_ = key"}},
		pkg:   "./invalidation/fleet", run: "TestLostEntriesAreWrittenAgain",
	},
	{
		name:  "the list is trusted although somebody has taken others off",
		edits: []edit{{"invalidation/fleet/grace.go", `	if g.edition != "" && g.edition != r.Edition {`, "	if false {"}},
		pkg:   "./invalidation/fleet", run: "TestConfirmationInAnotherEditionOfTheList",
	},
	{
		name: "positions go back with the log",
		edits: []edit{{"invalidation/fleet/positions.go", "	p.applied, p.nonce = to.Seq, to.Nonce\n	p.beginSegment()",
			"	p.applied, p.nonce = to.Seq, to.Nonce\n	p.local = to.Seq + p.offset()"}},
		pkg: "./invalidation/fleet", run: "TestLostEntriesAreWrittenAgain",
	},
	{
		name:  "a lost fence is put up again",
		edits: []edit{{"invalidation/fleet/recover.go", "		r.Operation, r.Fence, r.Life = invalidation.Invalidate, 0, 0", "		r.Life = FenceLife"}},
		pkg:   "./invalidation/fleet", run: "TestLostFence",
	},
	{
		name:  "the renewal of a fence hides what it stands over",
		edits: []edit{{"invalidation/fleet/fences.go", "		s.disturbed = max(s.disturbed, o.ledger.Disturbed(s.ids, s.begun))\n", ""}},
		pkg:   "./invalidation/fleet", run: "TestQuietOfAFence",
	},
	{
		name:  "the end of a fence hides what it stands over",
		edits: []edit{{"invalidation/fleet/fences.go", "	disturbed = max(s.disturbed, o.ledger.Disturbed(s.ids, s.begun), ", "	disturbed = max(s.disturbed, "}},
		pkg:   "./invalidation/fleet", run: "TestSimulation/long_writes",
	},
	{
		name:  "a fence of which nothing came takes back what came meanwhile",
		edits: []edit{{"invalidation/fleet/fences.go", "r.Life > 0 && disturbed < s.first", "r.Life > 0"}},
		pkg:   "./invalidation/fleet", run: "TestQuietOfAFence",
	},
	{
		name:  "a fence of which nothing came takes back what came meanwhile, alone",
		edits: []edit{{"invalidation/local.go", "!f.ended && disturbed < f.begun", "!f.ended"}},
		pkg:   "./invalidation", run: "TestUndoneFence",
	},
	{
		name:  "a newcomer trusts the log at once",
		edits: []edit{{"invalidation/fleet/grace.go", "	if !g.lease.Valid(now) {", "	if !g.epochStart.IsZero() && !g.lease.Valid(now) {"}},
		pkg:   "./invalidation/fleet", run: "TestSimulation/servers_that_know_nobody",
	},
	{
		name:  "an instance that has not come over is forgotten",
		edits: []edit{{"invalidation/fleet/grace.go", "			if p.Lease > 0 && p.Term != term {", "			if false {"}},
		pkg:   "./invalidation/fleet", run: "TestInstanceThatDoesNotComeOver",
	},
	{
		name:  "an instance vouches for a log that it has just met",
		edits: []edit{{"invalidation/fleet/grace.go", " || p.Held < g.leaseTimeout() {", " {"}},
		pkg:   "./invalidation/fleet", run: "TestNewcomerWaits",
	},
	{
		name:  "an instance vouches that has not been heard of",
		edits: []edit{{"invalidation/fleet/grace.go", "!seen || p.Beat <= first || p.Term != term", "!seen || p.Beat <= first && false || p.Term != term"}},
		pkg:   "./invalidation/fleet", run: "TestNewcomerWaits",
	},
	{
		name:  "an instance vouches whose heartbeat counts back",
		edits: []edit{{"invalidation/fleet/grace.go", "!seen || p.Beat <= first || p.Term != term", "!seen || p.Beat == first || p.Term != term"}},
		pkg:   "./invalidation/fleet", run: "TestNewcomerWaits",
	},
	{
		name:  "an instance vouches that has not signed",
		edits: []edit{{"invalidation/valkey/signature.go", "			live[i].Held = 0\n", "			live[i].Held += 0\n"}},
		pkg:   "./invalidation/valkey", run: "TestForgedHeartbeats",
	},
	{
		name:  "an instance that never acknowledges is waited for while it shows signs of life",
		edits: []edit{{"invalidation/fleet/confirmation.go", "		if now.Sub(c.begun) < invalidation.Timeout(p.lease()) {", "		if true {"}},
		pkg:   "./invalidation/fleet", run: "TestReaping",
	},
	{
		name:  "an instance that has not acknowledged is not waited for until its lease has lapsed",
		edits: []edit{{"invalidation/fleet/confirmation.go", "		if now.Sub(c.begun) < invalidation.Timeout(p.lease()) {", "		if now.Sub(c.begun) < invalidation.Timeout(p.lease())/4 {"}},
		pkg:   "./invalidation/fleet", run: "TestSimulation/strangers",
	},
	{
		name:  "an instance that owes for ever keeps others from a lease for ever",
		edits: []edit{{"invalidation/fleet/grace.go", "	g.unheard = !quorum && waited >=", "	g.unheard = false && waited >="}},
		pkg:   "./invalidation/fleet", run: "TestInstanceThatNeverSettles",
	},
	{
		name:  "a lease is taken over the head of an instance that owes, as if nothing were",
		edits: []edit{{"invalidation/fleet/grace.go", "gone) || g.unheard", "gone)"}},
		pkg:   "./invalidation/fleet", run: "TestInstanceThatNeverSettles",
	},
	{
		name:  "a lease that an instance has said is forgotten when the list is silent",
		edits: []edit{{"invalidation/fleet/follower.go", "	f.detector.recall(r.Live)\n", ""}},
		pkg:   "./invalidation/fleet", run: "TestLeaseThatWasSaid",
	},
	{
		name:  "an item that is no entry ends the log",
		edits: []edit{{"invalidation/valkey/reply.go", "	case \"AMISS\":\n		reply.Status", "	case \"\":\n		reply.Status"}},
		pkg:   "./invalidation/valkey", run: "TestLogWrittenOver/valkey-server/an_item_after_the_last_entry",
	},
	{
		name:  "who waits for an entry that went with the log is not told",
		edits: []edit{{"invalidation/valkey/confirm.go", "		if w.watch == nil {\n			delete", "		if w.watch == nil && false {\n			delete"}},
		pkg:   "./invalidation/valkey", run: "TestEntriesThatWentWithTheLog",
	},
	{
		name:  "an instance vouches for another term",
		edits: []edit{{"invalidation/fleet/grace.go", " || p.Term != term || p.Held", " || p.Held"}},
		pkg:   "./invalidation/fleet", run: "TestNewcomerWaits",
	},
	{
		name:  "a branch of the log that came back is newer than what was applied",
		edits: []edit{{"invalidation/fleet/follower.go", "	if f.pending.owes() {\n		return invalidation.Token{}, false\n	}\n", ""}},
		pkg:   "./invalidation/fleet", run: "TestNoPositionWhileOwing",
	},
	{
		name:  "a log from an old snapshot is newer than what was applied",
		edits: []edit{{"invalidation/fleet/recover.go", "			f.confirmEverything(left, now)\n", ""}},
		pkg:   "./invalidation/fleet", run: "TestOlderHistory",
	},
	{
		name:  "others are waited for by one's own lease",
		edits: []edit{{"invalidation/fleet/detector.go", "invalidation.Timeout(p.lease())", "invalidation.Timeout(2 * d.pause)"}},
		pkg:   "./invalidation/fleet", run: "TestSimulation/leases_of_different_length",
	},
	{
		name:  "an epoch settles by one's own lease",
		edits: []edit{{"invalidation/fleet/grace.go", "	if longest > g.longest || ", "	if false && "}},
		pkg:   "./invalidation/fleet", run: "TestLeasesOfOthersCount",
	},
	{
		name:  "a server without a name extends leases",
		edits: []edit{{"invalidation/fleet/follower.go", "	if r.Server != \"\" {\n		f.extend", "	if true {\n		f.extend"}},
		pkg:   "./invalidation/fleet", run: "TestNoLeaseFromAServerWithoutAName",
	},
	{
		name:  "terms do not count",
		edits: []edit{{"invalidation/fleet/history.go", "		if seq > t.Start {\n			return false\n		}", "		if seq > t.Start && false {\n			return false\n		}"}},
		pkg:   "./invalidation/fleet", run: "TestTerms",
	},
	{
		name:  "nonces do not count",
		edits: []edit{{"invalidation/fleet/positions.go", "ok && e.record.Nonce != at.Nonce {", "ok && false && e.record.Nonce != at.Nonce {"}},
		pkg:   "./invalidation/fleet", run: "TestTerms",
	},
	{
		name:  "a snapshot's marks are not applied",
		edits: []edit{{"invalidation/fleet/recover.go", "		if m.Seq > known {", "		if m.Seq > known && false {"}},
		pkg:   "./invalidation/fleet", run: "TestSnapshotAfterGap",
	},
	{
		name:  "a snapshot's fences do not stand",
		edits: []edit{{"invalidation/fleet/recover.go", "	f.installFences(s.Fences, newLog, now)", "	f.installFences(nil, newLog, now)"}},
		pkg:   "./invalidation/fleet", run: "TestSnapshotAfterGap",
	},
	{
		name:  "copies are trusted although an instance is missing after the log was lost",
		edits: []edit{{"invalidation/fleet/follower.go", "		f.invalidateAll(now)\n", ""}},
		pkg:   "./invalidation/fleet", run: "TestAnotherHistory",
	},
	{
		name:  "copies are trusted although others do not remember as far back",
		edits: []edit{{"invalidation/fleet/recover.go", "				f.invalidateAll(now) // longer than the others remember", ""}},
		pkg:   "./invalidation/fleet", run: "TestAnotherHistory",
	},
	{
		name:  "an entry is applied where it is heard on top of one that its log does not have",
		edits: []edit{{"invalidation/fleet/hear.go", "e.Seq != p.applied+1 || e.Previous != p.nonce {", "e.Seq != p.applied+1 {"}},
		pkg:   "./invalidation/fleet", run: "TestHear",
	},
	{
		name:  "entries are not acknowledged where they are heard",
		edits: []edit{{"invalidation/valkey/hint.go", "		if e.awaited && ", "		if !e.awaited && "}},
		pkg:   "./invalidation/valkey", run: "TestFencesAreAcknowledgedWhereTheyAreHeard",
	},
	{
		name:  "a fence waits for a server that is silent as long as for an instance",
		edits: []edit{{"invalidation/valkey/invalidate.go", "until(reached, invalidation.WaitAll, r, 2*l.syncer.replyTimeout)", "until(context.WithoutCancel(reached), invalidation.WaitAll, r, l.LeaseTimeout())"}},
		pkg:   "./invalidation/valkey", run: "TestServerFreezesBeforeAFenceHolds",
	},
	{
		name:  "a lease is taken before others know of what there may be copies",
		edits: []edit{{"invalidation/fleet/follower.go", "	if f.withheld {\n		return\n	}\n", ""}},
		pkg:   "./invalidation/fleet", run: "TestWithheldLease",
	},
	{
		name:  "the lease is not withheld until it is told of what there may be copies",
		edits: []edit{{"cmd/cacheproxy/instance/holdings.go", "	h.routes.Store(&routes)\n	entries.Withhold()\n", "	h.routes.Store(&routes)\n"}},
		pkg:   "./cmd/cacheproxy/instance", run: "TestHoldingsAreToldAgain",
	},
	{
		name:  "the lease is not withheld where another log has come in the place of the one in which it was told",
		edits: []edit{{"cmd/cacheproxy/instance/holdings.go", "	h.released.Store(false)\n	h.entries.Withhold()\n", "	h.released.Store(false)\n"}},
		pkg:   "./cmd/cacheproxy/instance", run: "TestHoldingsAreToldAgain",
	},
	{
		name:  "entries are left out by who holds no lease",
		edits: []edit{{"cmd/cacheproxy/instance/holdings.go", "return !h.lease.Valid(time.Now())", "return false"}},
		pkg:   "./cmd/cacheproxy/instance", run: "TestHoldingsMayHold",
	},
	{
		name: "requests share a fetch from before an invalidation",
		edits: []edit{{"invalidation/ledger.go", "		if m, ok := l.mark(id); ok && m.last() > t.position {\n			return true",
			"		if m, ok := l.mark(id); ok && m.last() > t.position {\n			return false"}},
		pkg: "./invalidation/fleet", run: "TestSimulation/quiet",
	},
}
