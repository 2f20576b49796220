package mutants

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var attackFor = flag.Duration("attack", 0, "for how long at most the built program is attacked with each rule switched off; 0: not at all")

// attacked are rules that the attack watches from outside, each switched off, with the word that its findings begin with.
var attacked = []struct {
	name  string
	edits []edit
	found string
}{
	{"no token", stampLate, "stale"},
	{"the ledger is not asked", []edit{{"invalidation/ledger.go", "	verdict := l.scan(seen, ids)", "	verdict := Valid"}}, "stale"},
	{"who has a cookie is answered from copies", []edit{{"policy/plan.go", "	case len(h[\"Cookie\"]) > 0 && !r.cookies().harmless(h):", "	case false:"}}, "personal"},
	{"what broke off is taken for whole", []edit{{"proxy/fill/pump.go", "		if err == io.EOF {", "		if err == io.EOF || err != nil {"}}, "bytes"},
	{"places are not given back", []edit{{"proxy/upstream/slot.go", "	s.drop()\n	l.admit()\n}", "	l.admit()\n}"}}, "rest"},
	{"the age of an answer that came with one is not counted", []edit{{"policy/httpcache/freshness.go",
		"	return min(max(l.InitialAge, 0)+l.resident(now), maxDelta)", "	return min(l.resident(now), maxDelta)"}}, "rfc9111"},
	{"signatures are not compared", []edit{{"invalidation/valkey/signature.go", "			if subtle.ConstantTimeCompare(n.mac(i), signature) == 1 {", "			if subtle.ConstantTimeCompare(n.mac(i), signature) <= 1 {"}}, "bytes"},
	{"copies of other variants are used", []edit{{"policy/httpcache/vary.go", "		value := appendSelector(buf[:0], name, lines)\n", "		value := buf[:0]\n"}}, "rfc9111"},
}

// With each rule switched off, the attack on the built program finds it.
func TestBrokenRulesAreFoundByAttack(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range attacked {
		mutant{edits: b.edits}.overlay(t, root) // the rule is still where it is to be broken
	}
	if *attackFor == 0 {
		t.Skip("takes minutes; run with -attack 30s, as make soak does")
	}
	for _, b := range attacked {
		t.Run(b.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "test", "-count", "1", "-v", "./attack", "-args", "-enough", "30", "-for", attackFor.String())
			cmd.Dir = filepath.Join(root, "test/system")
			// The proxies are built in the course of the test.
			cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+mutant{edits: b.edits}.overlay(t, root))
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), ": "+b.found+" (seed ") {
				t.Fatalf("nothing is found with the rule switched off: %v\n%.6000s", err, out)
			}
		})
	}
}
