package mutants

// holdForever switches off the lease.
var holdForever = []edit{{"invalidation/lease.go", "	return l == nil || int64(now.Sub(l.base)) < l.until.Load() && now.UnixNano() < l.wall.Load()", "	return true"}}

// followers are the rules by which several instances follow one log.
var followers = []mutant{
	{
		name:  "a lease never lapses",
		edits: holdForever,
		pkg:   "./invalidation", run: "TestSimulation/instances",
	},
	{
		name: "a lease is extended before everything is applied",
		edits: []edit{{"invalidation/follower.go", "	if f.behind > 0 {\n		return AskAgain\n	}\n	f.current = q.Sent\n	f.extend(q.Sent, a.Live, now)",
			"	f.current = q.Sent\n	f.extend(q.Sent, a.Live, now)\n	if f.behind > 0 {\n		return AskAgain\n	}"}},
		pkg: "./invalidation", run: "TestLeaseNeedsEverything",
	},
	{
		name:  "a lease counts from the answer",
		edits: []edit{{"invalidation/trust.go", "	f.lease.Extend(sent.Add(f.duration - f.margin))", "	f.lease.Extend(now.Add(f.duration - f.margin))"}},
		pkg:   "./invalidation", run: "TestLeaseCountsFromTheQuestion",
	},
	{
		name:  "late answers count",
		edits: []edit{{"invalidation/follower.go", "	if q.Beat != f.beat {", "	if false {"}},
		pkg:   "./invalidation", run: "TestLateAnswerIsIgnored",
	},
	{
		name:  "a lease is taken from another server at once",
		edits: []edit{{"invalidation/trust.go", "		f.wait(now)\n	}\n	if !first {", "	}\n	if !first {"}},
		pkg:   "./invalidation", run: "TestAnotherServerIsNotTrustedAtOnce",
	},
	{
		name:  "a lease is taken before others can know what this instance knows",
		edits: []edit{{"invalidation/trust.go", "!told || now.Before(f.grace) || f.owes() {", "!told || now.Before(f.grace) {"}},
		pkg:   "./invalidation", run: "TestOwedEntriesGoBeforeTheLease",
	},
	{
		name:  "others are not heard before a lease is taken from another server",
		edits: []edit{{"invalidation/trust.go", "!told || now.Before(f.grace)", "!told && false || now.Before(f.grace)"}},
		pkg:   "./invalidation", run: "TestOthersAreHeardFirst",
	},
	{
		name:  "a log that was emptied counts as old as its server",
		edits: []edit{{"invalidation/trust.go", "	if f.since.Before(since) {", "	if true {"}},
		pkg:   "./invalidation", run: "TestConfirmationInANewLog",
	},
	{
		name:  "no grace after a server has taken over",
		edits: []edit{{"invalidation/confirmation.go", "	return f.since.Add(f.patience())", "	return f.since"}},
		pkg:   "./invalidation", run: "TestConfirmationAfterTakeover",
	},
	{
		name:  "instances are reaped before their lease has lapsed",
		edits: []edit{{"invalidation/silence.go", "now.Sub(s.at) >= f.patience()", "now.Sub(s.at) >= 0"}},
		pkg:   "./invalidation", run: "TestSimulation/instances",
	},
	{
		name:  "lost entries are not written again",
		edits: []edit{{"invalidation/recover.go", "	f.owe(key, r, now.Add(f.stagger(key)), true)", "	_ = key"}},
		pkg:   "./invalidation", run: "TestLostEntriesAreWrittenAgain",
	},
	{
		name: "positions go back with the log",
		edits: []edit{{"invalidation/recover.go", "	f.applied, f.nonce = common.Seq, common.Nonce\n	f.shift()",
			"	f.applied, f.nonce = common.Seq, common.Nonce\n	f.position = common.Seq + f.segments[len(f.segments)-1].offset"}},
		pkg: "./invalidation", run: "TestLostEntriesAreWrittenAgain",
	},
	{
		name:  "a lost fence is put up again",
		edits: []edit{{"invalidation/recover.go", "		r.Operation, r.Fence, r.Life = Invalidate, 0, 0", "		r.Life = FenceLife"}},
		pkg:   "./invalidation", run: "TestLostFence",
	},
	{
		name:  "the renewal of a fence hides what it stands over",
		edits: []edit{{"invalidation/standing.go", "		s.disturbed = max(s.disturbed, f.ledger.disturbed(s.ids, s.begun))\n", ""}},
		pkg:   "./invalidation", run: "TestQuietOfAFence",
	},
	{
		name:  "the end of a fence hides what it stands over",
		edits: []edit{{"invalidation/standing.go", "	disturbed = max(s.disturbed, f.ledger.disturbed(s.ids, s.begun), ", "	disturbed = max(s.disturbed, "}},
		pkg:   "./invalidation", run: "TestSimulation/quiet",
	},
	{
		name:  "terms do not count",
		edits: []edit{{"invalidation/shared.go", "		if seq > t.Start {\n			return false\n		}", "		if seq > t.Start && false {\n			return false\n		}"}},
		pkg:   "./invalidation", run: "TestTerms",
	},
	{
		name:  "nonces do not count",
		edits: []edit{{"invalidation/chart.go", "ok && e.record.Nonce != s.Nonce {", "ok && false && e.record.Nonce != s.Nonce {"}},
		pkg:   "./invalidation", run: "TestTerms",
	},
	{
		name:  "a snapshot's marks are not applied",
		edits: []edit{{"invalidation/recover.go", "		if m.Seq > known {", "		if m.Seq > known && false {"}},
		pkg:   "./invalidation", run: "TestSnapshotAfterGap",
	},
	{
		name:  "a snapshot's fences do not stand",
		edits: []edit{{"invalidation/recover.go", "	f.reconcile(s.Fences, now)", "	f.reconcile(nil, now)"}},
		pkg:   "./invalidation", run: "TestSnapshotAfterGap",
	},
	{
		name:  "copies are trusted although an instance is missing after the log was lost",
		edits: []edit{{"invalidation/trust.go", "		f.forget(now)\n", ""}},
		pkg:   "./invalidation", run: "TestAnotherHistory",
	},
	{
		name:  "copies are trusted although others do not remember as far back",
		edits: []edit{{"invalidation/recover.go", "				f.forget(now) // longer than the others remember", ""}},
		pkg:   "./invalidation", run: "TestAnotherHistory",
	},
	{
		name: "requests share a fetch from before an invalidation",
		edits: []edit{{"invalidation/ledger.go", "		if m, ok := l.mark(id); ok && m.last() > t.position {\n			return true",
			"		if m, ok := l.mark(id); ok && m.last() > t.position {\n			return false"}},
		pkg: "./invalidation", run: "TestSimulation/quiet",
	},
}
