package deploy

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// panel is what the tests look at of a dashboard's panel.
type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct{ Expr string }
}

type dashboard struct {
	Panels      []panel
	Annotations struct{ List []struct{ Name, Expr string } }
	Templating  struct{ List []struct{ Name string } }
}

func theDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// expressions are all queries of the dashboard, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	d, all := theDashboard(t), map[string]string{}
	for _, p := range d.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("panel %s, query %d", p.Title, i+1)] = target.Expr
		}
	}
	for _, a := range d.Annotations.List {
		all["annotation "+a.Name] = a.Expr
	}
	return all
}

// The panels have names and queries, and do not lie on each other.
func TestDashboard(t *testing.T) {
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range theDashboard(t).Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: its number is taken: %v; queries: %d", p.ID, p.Title, ids[p.ID], len(p.Targets))
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if x >= 24 || taken[[2]int{x, y}] != "" {
					t.Fatalf("panel %q is out of the grid or on %q", p.Title, taken[[2]int{x, y}])
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// Prometheus understands every query, and the dashboard has every variable that they use.
func TestDashboardQueries(t *testing.T) {
	promtool := optional(t, "promtool", "prometheus")
	variables := []string{"$__rate_interval", "5m"}
	for _, v := range theDashboard(t).Templating.List {
		variables = append(variables, "$"+v.Name, ".*")
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for where, expression := range expressions(t) {
		expression = strings.NewReplacer(variables...).Replace(expression)
		if strings.Contains(expression, "$") {
			t.Errorf("%s: unknown variable in %s", where, expression)
		}
		rules = append(rules, rule{fmt.Sprintf("query:%d", len(rules)), expression})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "queries", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, exec.Command(promtool, "check", "rules", write(t, filepath.Join(t.TempDir(), "queries.yaml"), string(text))))
}
