package observe

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestFleet(t *testing.T) {
	m := NewMetrics("v1")
	if strings.Contains(scrape(t, m), "lease_valid") {
		t.Error("a process that runs alone shows a lease")
	}
	m.SetLedger(func() int { return 50 })
	f := m.Fleet(func() FleetGauges {
		return FleetGauges{Lag: 1500 * time.Millisecond, Lease: true, Lapsed: 2, Instances: 3, Position: 40, Floor: 4, Pending: 1}
	}, []string{"timeout", "oom"})
	f.Observe("sync", 200*time.Microsecond, "")
	f.Observe("sync", 50*time.Millisecond, "timeout")
	m.PurgeUnconfirmed()
	got := scrape(t, m)
	for _, line := range []string{
		"cacheproxy_ledger_lag_seconds 1.5", "cacheproxy_lease_valid 1", "cacheproxy_lease_lapsed_total 2", "cacheproxy_instances 3",
		"cacheproxy_ledger_position 40", "cacheproxy_ledger_floor 4", "cacheproxy_ledger_members 50", "cacheproxy_ledger_pending 1",
		`cacheproxy_valkey_seconds_bucket{op="sync",le="0.00025"} 1`, `cacheproxy_valkey_seconds_count{op="sync"} 2`,
		`cacheproxy_valkey_errors_total{kind="timeout",op="sync"} 1`, `cacheproxy_valkey_errors_total{kind="oom",op="sync"} 0`,
		"cacheproxy_purges_unconfirmed_total 1",
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("lacks %s", line)
		}
	}
	if problems, err := promlint.New(strings.NewReader(got)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}
