// Package mutants breaks the rules that keep the promise of purges and writes, one at a time, and expects the tests of the
// promise to notice. A test that passes with a rule switched off proves nothing with the rule in place.
package mutants

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// mutant is one rule switched off.
type mutant struct {
	name     string
	edits    []edit
	pkg, run string // the test that must fail
}

// edit replaces a text that stands in a file just once.
type edit struct{ file, old, new string }

const (
	promise = "TestNoReadAfterAcknowledgementIsOlder"
	join    = "TestLateRequestsDoNotShareOlderFlights"
)

// shareAnyway switches off the question at the header of an answer.
var shareAnyway = edit{"proxy/fetch.go", "	return !res.Token.Before(rq.arrival) || !ledger.Since(res.Token, res.Members)", "	return true"}

// stampLate and joinAlways switch off the rules of fetches that were under way when something was invalidated.
var (
	stampLate  = []edit{{"proxy/fill/header.go", "Length: length, Token: c.token,", "Length: length, Token: c.f.ledger.Token(),"}}
	joinAlways = []edit{
		{"proxy/fill/join.go", "	case f.published:\n		return !fs.ledger.Since(f.token, f.response.Members)\n	case f.sent:\n		return !fs.ledger.Since(f.token, f.known)\n",
			"	case f.published || f.sent:\n		return true\n"},
		shareAnyway,
	}
)

var mutants = append([]mutant{
	{
		name:  "no token: an answer is stamped when it arrives instead of before it was asked for",
		edits: stampLate,
		pkg:   "./proxy", run: promise + "/key",
	},
	{
		name:  "no join rule: late requests share a flight that began before the invalidation",
		edits: joinAlways,
		pkg:   "./proxy", run: join + "/key",
	},
	{
		name:  "no join rule at the header: an answer is shared whatever its tags say",
		edits: []edit{shareAnyway},
		pkg:   "./proxy", run: join + "/tag",
	},
	{
		name:  "no store rule and no use rule: the ledger is not asked",
		edits: []edit{{"invalidation/ledger.go", "	verdict := l.scan(seen, ids)", "	verdict := Valid"}},
		pkg:   "./proxy", run: promise + "/key",
	},
	{
		name:  "no store rule: what was invalidated while it was fetched is stored",
		edits: []edit{{"proxy/fill/answer.go", "	if !f.ledger.Admits(a.Token, a.Members) {", "	if false {"}},
		pkg:   "./proxy/fill", run: "TestWhatIsNotStored",
	},
	{
		name:  "an answer is stored that took longer than the ledger remembers",
		edits: []edit{{"proxy/fill/answer.go", "	case time.Since(a.Taken) > invalidation.MaxFill:", "	case a.Taken.IsZero():"}},
		pkg:   "./proxy/fill", run: "TestWhatIsNotStored",
	},
	{
		name:  "what a HEAD confirms is kept as of when it is stored",
		edits: []edit{{"proxy/head.go", "verdict, ex.arrival, ex.start)", "verdict, ex.p.ledger.Token(), ex.start)"}},
		pkg:   "./proxy", run: "TestHeadDoesNotBringBack",
	},
	{
		name:  "a write does not invalidate before its answer",
		edits: []edit{{"proxy/write.go", "		w.end(invalidation.Order{Members: named, Older: older, Placed: keeps})\n", "		_, _, _ = named, older, keeps\n		w.undone()\n"}},
		pkg:   "./proxy", run: promise + "/write",
	},
	{
		name:  "an answer to a write that cannot be read names nothing",
		edits: []edit{{"policy/effects.go", "	if in.Otherwise != nil {\n", "	if answer == nil {\n		return nil, true\n	}\n	if in.Otherwise != nil {\n"}},
		pkg:   "./proxy", run: "TestNamesInTheAnswer",
	},
	{
		name:  "reads that come while a write is under way share a fetch from before it",
		edits: []edit{{"proxy/fill/flight.go", "	late := before != nil && (j.LeaseLost || fs.ledger.Fenced(j.Known))\n", "	late := before != nil && j.LeaseLost\n"}},
		pkg:   "./proxy", run: "TestReadsDuringAWriteDoNotShareOlderFetches",
	},
	{
		name:  "a write is sent before its fence holds on every instance",
		edits: []edit{{"invalidation/valkey/invalidate.go", "l.until(reached, invalidation.WaitAll, r, 2*l.syncer.replyTimeout); err", "l.until(reached, invalidation.WaitRecorded, r, 2*l.syncer.replyTimeout); err"}},
		pkg:   "./invalidation/valkey", run: "TestFenceHoldsEverywhereOnceItHasBegun",
	},
	{
		name:  "the answer to a write is kept although its copy was purged meanwhile",
		edits: []edit{{"proxy/keepwrite.go", "	return ex.p.ledger.Since(w.before, others)\n", "	return ex.p.ledger.Since(w.before, others[:0])\n"}},
		pkg:   "./proxy", run: "TestAnswerToAWriteIsNotKeptAfterAPurge",
	},
	{
		name:  "the end of a write hides what it stands over",
		edits: []edit{{"proxy/keepwrite.go", "	if !w.receipt.Exclusive(w.before) {", "	if false {"}},
		pkg:   "./proxy", run: "TestAnswerToAWriteIsNotKeptAfterAPurge",
	},
	{
		name:  "the answer to a write is kept as of when it is stored",
		edits: []edit{{"proxy/keepwrite.go", "header, verdict, token, ex.start)", "header, verdict, func() invalidation.Token { _ = token; return ex.p.ledger.Token() }(), ex.start)"}},
		pkg:   "./proxy", run: "TestAnswerToAWriteIsNotKeptAfterAPurge",
	},
	{
		name:  "parts that were purged are completed",
		edits: []edit{{"proxy/fill/roundtrip.go", "	if m := c.missing; m != nil && (!informed || !m.completable(c.f.ledger)) {", "	if c.missing != nil && false {"}},
		pkg:   "./proxy", run: "TestWriteEndsParts",
	},
	{
		name:  "parts that were purged are joined with what comes",
		edits: []edit{{"proxy/fill/parts.go", "<= invalidation.Soft && httpcache.Combinable", "<= invalidation.Purged && httpcache.Combinable"}},
		pkg:   "./proxy", run: "TestParts/what_is_purged_is_not_joined",
	},
	{
		name:  "copies are used without a lease",
		edits: []edit{{"proxy/lease.go", "	if l.Valid(now) {\n", "	if true {\n"}},
		pkg:   "./proxy", run: "TestLapsedLease/origin",
	},
	{
		name:  "without a lease, an earlier fetch is shared",
		edits: []edit{{"proxy/fill/flight.go", "	late := before != nil && (j.LeaseLost || fs.ledger.Fenced(j.Known))\n", "	late := before != nil && fs.ledger.Fenced(j.Known)\n"}},
		pkg:   "./proxy", run: "TestRequestsWithoutALeaseShareTheNextFetch",
	},
	{
		name:  "without a lease, requests for one key do not take turns",
		edits: []edit{{"proxy/fill/flight.go", "	if late {", "	if false {"}},
		pkg:   "./proxy", run: "TestRequestsWithoutALeaseShareTheNextFetch",
	},
	{
		name:  "what may have been purged is confirmed",
		edits: []edit{{"proxy/fill/roundtrip.go", "b != nil && (!informed || c.f.ledger.Check(&b.Stamp", "b != nil && (c.f.ledger.Check(&b.Stamp"}},
		pkg:   "./proxy", run: "TestNothingUnknownIsConfirmed",
	},
	{
		name:  "a claim is given back before the copy landed",
		edits: []edit{{"proxy/fill/answer.go", "	return claim.Release\n", "	claim.Release(store.Shared)\n	return func(store.ClaimResult) {}\n"}},
		pkg:   "./proxy", run: "TestClaimsLastUntilTheCopyLanded",
	},
	{
		name:  "a write that is not confirmed is answered at once",
		edits: []edit{{"proxy/acknowledge.go", "		case <-time.After(min(retryEvery, left)):\n", "		default:\n			return receipt, err\n"}},
		pkg:   "./proxy", run: "TestInvalidationThatFailsIsMadeUpFor",
	},
}, append(followers, queue...)...)

// oneIn is of how many mutants one is tried where a developer waits (-short).
const oneIn = 5

// Every test passes on the product, and fails on its mutant, both in the same binary.
func TestBrokenRulesAreNoticed(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	made := map[int]mutant{}
	for n, m := range mutants {
		if err := m.apply(root); err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		made[n] = m
	}
	overlay, dir := switched(t, root, made), t.TempDir()
	binaries := map[string]string{} // by package
	passed := map[string]bool{}     // by package and test
	for _, n := range drawn(t, sortedKeys(made)) {
		m := made[n]
		if binaries[m.pkg] == "" {
			binaries[m.pkg] = filepath.Join(dir, fmt.Sprint(len(binaries), ".test"))
			build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet", "off", "-overlay", overlay, "-o", binaries[m.pkg], m.pkg)
			build.Dir = root
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build tests of %s: %v\n%s", m.pkg, err, out)
			}
		}
		if !passed[m.pkg+m.run] {
			passed[m.pkg+m.run] = true
			t.Run("none: "+m.run, func(t *testing.T) {
				t.Parallel()
				if out, err := m.test(t, root, binaries[m.pkg], ""); err != nil || !strings.Contains(out, "--- PASS") {
					t.Errorf("%s fails with every rule in place: %v\n%s", m.run, err, out)
				}
			})
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			out, err := m.test(t, root, binaries[m.pkg], strconv.Itoa(n))
			if err == nil {
				t.Fatalf("%s passes with the rule switched off:\n%s", m.run, out)
			}
			if !strings.Contains(out, "--- FAIL") {
				t.Fatalf("the test did not run: %v\n%s", err, out)
			}
		})
	}
}

// drawn are those of the mutants that are tried.
func drawn(t *testing.T, all []int) []int {
	if !testing.Short() {
		return all
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("one in %d of %d mutants, by seed %d", oneIn, len(all), seed)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:(len(all)+oneIn-1)/oneIn]
}

// test runs the mutant's test in a binary that is to be a mutant.
func (m mutant) test(t *testing.T, root, binary, name string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "-test.v", "-test.timeout", "10m", "-test.run", "^"+strings.ReplaceAll(m.run, "/", "$/^")+"$")
	cmd.Dir = filepath.Join(root, m.pkg)
	cmd.Env = append(os.Environ(), variable+"="+name)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// find tells where the text to be replaced stands.
func (e edit) find(source string) (int, error) {
	if n := strings.Count(source, e.old); n != 1 {
		return 0, fmt.Errorf("%s holds what is to be replaced %d times, want once: %q", e.file, n, e.old)
	}
	return strings.Index(source, e.old), nil
}

// overlay writes the changed files, and the file that lays them over the real ones.
func (m mutant) overlay(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	replace := make(map[string]string)
	for _, e := range m.edits {
		path := filepath.Join(root, e.file)
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at, err := e.find(string(source))
		if err != nil {
			t.Fatal(err)
		}
		replace[path] = filepath.Join(dir, filepath.Base(e.file))
		if err := os.WriteFile(replace[path], slices.Concat(source[:at], []byte(e.new), source[at+len(e.old):]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlayFile(t, dir, replace)
}

// overlayFile writes what -overlay reads.
func overlayFile(t *testing.T, dir string, replace map[string]string) string {
	t.Helper()
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
