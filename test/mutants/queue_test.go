package mutants

// queue are rules of writes that are answered before their origin is.
var queue = []mutant{
	{
		name:  "no waiting: a write that goes through overtakes those that are queued",
		edits: []edit{{"proxy/write.go", "	if !behindOthers(ex) {\n", "	if false {\n"}},
		pkg:   "./proxy", run: "TestWritesWaitBehind/a_precondition",
	},
	{
		name:  "no look at methods: a write that no route is for overtakes those that are queued",
		edits: []edit{{"proxy/deferring.go", "	clean.Path = policy.CleanTarget(t).Path\n	for _, method := range d.methods {", "	for _, method := range d.methods[:0] {"}},
		pkg:   "./proxy", run: "TestWritesWaitBehind/a_method_that_no_route_has",
	},
	{
		name:  "no authorization: what a write puts there is shown to everybody",
		edits: []edit{{"proxy/overlay.go", "	case forEveryone(ex, w, res):\n", "	case true:\n"}},
		pkg:   "./proxy", run: "TestOverlay",
	},
	{
		name:  "no question: whoever may write is not asked for",
		edits: []edit{{"proxy/accept.go", "	case !allowed(ex, ex.r.Method, true):\n", "	case false:\n"}},
		pkg:   "./proxy", run: "TestAuthorize",
	},
	{
		name:  "no lease: a write is sent although the partition is another's",
		edits: []edit{{"proxy/flush.go", "			if !holds() {\n", "			if false {\n"}},
		pkg:   "./proxy", run: "TestSendQueued",
	},
	{
		name:  "no proof: a write is accepted that is on no disk",
		edits: []edit{{"durable/valkey/proof.go", "asked == OnDisk && !p.onDisk", "false"}},
		pkg:   "./writebehind/valkey", run: "TestAppendIsProved/no_disk",
	},
	{
		name:  "no lane: two writes of a key are under way at once",
		edits: []edit{{"writebehind/lanes.go", "	if !of.busy && !of.blocked && !of.queued && len(of.refs) > 0 {", "	if !of.blocked && !of.queued && len(of.refs) > 0 {"}},
		pkg:   "./writebehind", run: "TestLanesKeepOrder",
	},
	{
		name:  "no block: what nobody knows about is overtaken",
		edits: []edit{{"writebehind/judge.go", "		return verdict{State: Dead, Blocks: true, AtWork: t.AtWork, Problem: \"nobody knows whether it was done: \" + t.Problem}", "		return verdict{State: Dead, Problem: t.Problem}"}},
		pkg:   "./writebehind", run: "TestJudge",
	},
}
