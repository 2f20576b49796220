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
		name: "a lease is extended before everything is applied",
		edits: []edit{{"invalidation/fleet/follower.go", "	if f.behind > 0 {\n		return AskAgain\n	}\n	f.current = q.Sent\n	f.extend(q.Sent, a.Live, now)",
			"	f.current = q.Sent\n	f.extend(q.Sent, a.Live, now)\n	if f.behind > 0 {\n		return AskAgain\n	}"}},
		pkg: "./invalidation/fleet", run: "TestLeaseNeedsEverything",
	},
	{
		name:  "a lease counts from the answer",
		edits: []edit{{"invalidation/fleet/trust.go", "	f.lease.Extend(sent.Add(f.duration - f.margin))", "	f.lease.Extend(now.Add(f.duration - f.margin))"}},
		pkg:   "./invalidation/fleet", run: "TestLeaseCountsFromTheQuestion",
	},
	{
		name:  "late answers count",
		edits: []edit{{"invalidation/fleet/follower.go", "	if q.Beat != f.beat {", "	if false {"}},
		pkg:   "./invalidation/fleet", run: "TestLateAnswerIsIgnored",
	},
	{
		name:  "a lease is taken from another server at once",
		edits: []edit{{"invalidation/fleet/trust.go", "		f.wait(now)\n	}\n	if !first {", "	}\n	if !first {"}},
		pkg:   "./invalidation/fleet", run: "TestAnotherServerIsNotTrustedAtOnce",
	},
	{
		name:  "a lease is taken before others can know what this instance knows",
		edits: []edit{{"invalidation/fleet/trust.go", "!told || now.Before(f.grace) || f.owes() {", "!told || now.Before(f.grace) {"}},
		pkg:   "./invalidation/fleet", run: "TestOwedEntriesGoBeforeTheLease",
	},
	{
		name:  "others are not heard before a lease is taken from another server",
		edits: []edit{{"invalidation/fleet/trust.go", "!told || now.Before(f.grace)", "!told && false || now.Before(f.grace)"}},
		pkg:   "./invalidation/fleet", run: "TestOthersAreHeardFirst",
	},
	{
		name:  "a log that was emptied counts as old as its server",
		edits: []edit{{"invalidation/fleet/trust.go", "	if f.since.Before(since) {", "	if true {"}},
		pkg:   "./invalidation/fleet", run: "TestConfirmationInANewLog",
	},
	{
		name:  "no grace after a server has taken over",
		edits: []edit{{"invalidation/fleet/confirmation.go", "	return f.since.Add(f.patience())", "	return f.since"}},
		pkg:   "./invalidation/fleet", run: "TestConfirmationAfterTakeover",
	},
	{
		name:  "instances are reaped before their lease has lapsed",
		edits: []edit{{"invalidation/fleet/silence.go", "now.Sub(s.at) >= f.patience()", "now.Sub(s.at) >= 0"}},
		pkg:   "./invalidation/fleet", run: "TestSimulation/instances",
	},
	{
		name:  "lost entries are not written again",
		edits: []edit{{"invalidation/fleet/recover.go", "	f.owe(key, r, now.Add(f.stagger(key)), true)", "	_ = key"}},
		pkg:   "./invalidation/fleet", run: "TestLostEntriesAreWrittenAgain",
	},
	{
		name: "positions go back with the log",
		edits: []edit{{"invalidation/fleet/recover.go", "	f.applied, f.nonce = common.Seq, common.Nonce\n	f.shift()",
			"	f.applied, f.nonce = common.Seq, common.Nonce\n	f.position = common.Seq + f.segments[len(f.segments)-1].offset"}},
		pkg: "./invalidation/fleet", run: "TestLostEntriesAreWrittenAgain",
	},
	{
		name:  "a lost fence is put up again",
		edits: []edit{{"invalidation/fleet/recover.go", "		r.Operation, r.Fence, r.Life = invalidation.Invalidate, 0, 0", "		r.Life = FenceLife"}},
		pkg:   "./invalidation/fleet", run: "TestLostFence",
	},
	{
		name:  "the renewal of a fence hides what it stands over",
		edits: []edit{{"invalidation/fleet/standing.go", "		s.disturbed = max(s.disturbed, f.ledger.Disturbed(s.ids, s.begun))\n", ""}},
		pkg:   "./invalidation/fleet", run: "TestQuietOfAFence",
	},
	{
		name:  "the end of a fence hides what it stands over",
		edits: []edit{{"invalidation/fleet/standing.go", "	disturbed = max(s.disturbed, f.ledger.Disturbed(s.ids, s.begun), ", "	disturbed = max(s.disturbed, "}},
		pkg:   "./invalidation/fleet", run: "TestSimulation/quiet",
	},
	{
		name:  "a fence of which nothing came takes back what came meanwhile",
		edits: []edit{{"invalidation/fleet/standing.go", "r.Life > 0 && disturbed < s.first", "r.Life > 0"}},
		pkg:   "./invalidation/fleet", run: "TestQuietOfAFence",
	},
	{
		name:  "a fence of which nothing came takes back what came meanwhile, alone",
		edits: []edit{{"invalidation/local.go", "!f.ended && disturbed < f.begun", "!f.ended"}},
		pkg:   "./invalidation", run: "TestUndoneFence",
	},
	{
		name:  "terms do not count",
		edits: []edit{{"invalidation/fleet/shared.go", "		if seq > t.Start {\n			return false\n		}", "		if seq > t.Start && false {\n			return false\n		}"}},
		pkg:   "./invalidation/fleet", run: "TestTerms",
	},
	{
		name:  "nonces do not count",
		edits: []edit{{"invalidation/fleet/chart.go", "ok && e.record.Nonce != s.Nonce {", "ok && false && e.record.Nonce != s.Nonce {"}},
		pkg:   "./invalidation/fleet", run: "TestTerms",
	},
	{
		name:  "a snapshot's marks are not applied",
		edits: []edit{{"invalidation/fleet/recover.go", "		if m.Seq > known {", "		if m.Seq > known && false {"}},
		pkg:   "./invalidation/fleet", run: "TestSnapshotAfterGap",
	},
	{
		name:  "a snapshot's fences do not stand",
		edits: []edit{{"invalidation/fleet/recover.go", "	f.reconcile(s.Fences, now)", "	f.reconcile(nil, now)"}},
		pkg:   "./invalidation/fleet", run: "TestSnapshotAfterGap",
	},
	{
		name:  "copies are trusted although an instance is missing after the log was lost",
		edits: []edit{{"invalidation/fleet/trust.go", "		f.forget(now)\n", ""}},
		pkg:   "./invalidation/fleet", run: "TestAnotherHistory",
	},
	{
		name:  "copies are trusted although others do not remember as far back",
		edits: []edit{{"invalidation/fleet/recover.go", "				f.forget(now) // longer than the others remember", ""}},
		pkg:   "./invalidation/fleet", run: "TestAnotherHistory",
	},
	{
		name: "requests share a fetch from before an invalidation",
		edits: []edit{{"invalidation/ledger.go", "		if m, ok := l.mark(id); ok && m.last() > t.position {\n			return true",
			"		if m, ok := l.mark(id); ok && m.last() > t.position {\n			return false"}},
		pkg: "./invalidation/fleet", run: "TestSimulation/quiet",
	},
}
