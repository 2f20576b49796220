package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cacheproxy/admin"
	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

// operated is a running operator's listener, and what it was told.
type operated struct {
	url     string
	told    []string
	receipt invalidation.Receipt
	err     error
}

const secret = "s3cret"

func operate(t *testing.T) *operated {
	t.Helper()
	o := &operated{receipt: invalidation.Receipt{
		ID: "a-7", Seq: 7, Instances: 2, Acked: []string{"a", "b"}, Reaped: []string{"c"}, Took: 4 * time.Millisecond, Recorded: true, Held: true,
	}}
	tell := func(format string, args ...any) { o.told = append(o.told, fmt.Sprintf(format, args...)) }
	srv := httptest.NewServer(admin.New(admin.Options{
		Tokens: []admin.Token{{Name: "sre", Secret: secret, Allow: admin.ScopeAll}},
		Purge: func(_ context.Context, p admin.Purge) (invalidation.Receipt, error) {
			tell("%q %v %s", p.Members, p.Soft, [...]string{"all", "none", "local"}[p.Wait])
			return o.receipt, o.err
		},
		URLMembers: func(u httpcache.Target) []policy.Member {
			return policy.URLMembers(u.Host, u.Path, u.Query, u.HasQuery)
		},
		RouteNames: func() []string { return []string{"stock", "a/b"} },
		Explain: func(_ context.Context, method, url string, h http.Header, _ []string) (any, error) {
			tell("%s %s %v", method, url, h)
			return struct {
				Route   string   `json:"route"`
				Members []string `json:"members"`
				Copy    any      `json:"copy"`
				Fresh   struct {
					TTL int `json:"ttl"`
				} `json:"fresh"`
			}{Route: "stock", Members: []string{"key:a", "evil\x1b[2J"}}, nil
		},
		SetMode: func(_ context.Context, m admin.ModeOrder) (invalidation.Receipt, error) {
			tell("%s %s %v %v %v", m.Route, m.Mode, m.Share, m.For, m.Reset)
			return o.receipt, o.err
		},
		Modes: func() []admin.RouteMode {
			since := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
			return []admin.RouteMode{
				{Route: "stock", Mode: "on", Share: "10%"},
				{Route: "a/b", Mode: "off", Share: "100%", Configured: &admin.ModeSetting{Mode: "on", Share: "100%"}, Override: &admin.ModeOverride{By: "sre", Since: since}},
			}
		},
		Writes: &admin.Writes{
			List: func(_ context.Context, dead bool, route string, most int) ([]admin.QueuedWrite, error) {
				tell("list %v %q %d", dead, route, most)
				return []admin.QueuedWrite{{ID: "A", State: "dead", Route: "stock", Method: "PUT", Path: "/stock/5", Accepted: time.Unix(0, 0).UTC(), Attempts: 2, Next: time.Unix(60, 0).UTC(), Sequence: 7, Blocks: true, Problem: "x"}}, o.err
			},
			Retry:   func(_ context.Context, id string, forced bool) error { tell("retry %s %v", id, forced); return o.err },
			Drop:    func(_ context.Context, id string, forced bool) error { tell("drop %s %v", id, forced); return o.err },
			Refused: func(error) bool { return true },
		},
		Config: func() any { return nil }, Ready: func() error { return o.err }, Gatherer: prometheus.NewRegistry(), Build: "v1",
		ConfirmTimeout: func() time.Duration { return 30 * time.Second }, RefuseMode: func(admin.ModeOrder) error { return nil },
		AuditFull: func() bool { return false }, Refused: func(string) {}, Log: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(srv.Close)
	o.url = srv.URL
	return o
}

// run runs a command as its own root and returns what it printed.
func run(t *testing.T, cmd *cobra.Command, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceErrors = true
	cmd.SetArgs(append([]string{}, args...)) // nil would stand for the arguments of the test itself
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestCommands(t *testing.T) {
	lost := errors.New("valkey is gone")
	const receipt = "purge a-7: holds everywhere since position 7 (4 ms)\ninstances: 2\napplied by: a, b\nfound dead: c\n"
	for _, c := range []struct {
		name    string
		cmd     func() *cobra.Command
		args    []string
		receipt *invalidation.Receipt
		err     error
		told    string
		out     string
		fails   string // a word of the error; empty: exit status 0
	}{
		{name: "purge", cmd: purgeCommand, args: []string{"--key", "a,b", "--key", "c", "--tag", "t"}, told: `["key:a,b" "key:c" "tag:t"] false all`, out: receipt},
		{name: "purge all", cmd: purgeCommand, args: []string{"--all", "--soft", "--confirm"}, told: `["all"] true all`, out: receipt},
		{name: "purge all, perhaps", cmd: purgeCommand, args: []string{"--all"}, fails: "--confirm"},
		{name: "purge by place", cmd: purgeCommand, args: []string{"--route", "stock", "--prefix", "/p"},
			told: fmt.Sprintf("%q false all", append([]policy.Member{"rstock"}, policy.PrefixMembers("", "/p")...)), out: receipt},
		{name: "purge URL", cmd: purgeCommand, args: []string{"--url", "http://h/p?a=1"},
			told: fmt.Sprintf("%q false all", policy.URLMembers("h", "/p", "a=1", true)), out: receipt},
		{name: "purge, unconfirmed wanted", cmd: purgeCommand, args: []string{"--key", "a", "--wait", "none"},
			receipt: &invalidation.Receipt{ID: "a-8", Recorded: true}, told: `["key:a"] false none`, out: "purge a-8: recorded, not confirmed (0 ms)\n"},
		{name: "purge here", cmd: purgeCommand, args: []string{"--key", "a", "--wait", "local"},
			receipt: &invalidation.Receipt{ID: "a-8"}, told: `["key:a"] false local`, out: "purge a-8: applied on this instance only (0 ms)\n"},
		{name: "purge, not confirmed", cmd: purgeCommand, args: []string{"--key", "a"},
			receipt: &invalidation.Receipt{Recorded: true}, told: `["key:a"] false all`, fails: "recorded but not confirmed"},
		{name: "purge, not recorded", cmd: purgeCommand, args: []string{"--key", "a"},
			receipt: &invalidation.Receipt{}, err: lost, told: `["key:a"] false all`, fails: "valkey is gone"},
		{name: "purge as JSON", cmd: purgeCommand, args: []string{"--key", "a", "--json"}, receipt: &invalidation.Receipt{Recorded: true}, told: `["key:a"] false all`,
			out: `{"recorded":true,"held":false}` + "\n", fails: "not confirmed"},
		{name: "purge nothing", cmd: purgeCommand, fails: "at least one of the flags"},
		{name: "purge a route that is not there", cmd: purgeCommand, args: []string{"--route", "x"}, fails: "stock, a/b"},
		{name: "purge by a pattern of URLs", cmd: purgeCommand, args: []string{"--url", "/a/*"}, fails: `for everything below a path use --prefix "/a"; where`},
		{name: "purge by a pattern of tags", cmd: purgeCommand, args: []string{"--tag", "a*"}, fails: `share, or use --prefix "/path" or --route "…"; a tag`},
		{name: "purge what looks like several", cmd: purgeCommand, args: []string{"--tag", "a,b"}, fails: `each tag by itself, as --tag "…" --tag "…"; a tag`},
		{name: "purge what may be part of a URL", cmd: purgeCommand, args: []string{"--url", "//shop.example/a"}, fails: `"http://shop.example/a"`},
		{name: "purge with arguments", cmd: purgeCommand, args: []string{"--key", "a", "b"}, fails: `"b" is one argument too many; write: purge [flags]`},

		{name: "list writes", cmd: writesCommand, args: []string{"list", "--waiting", "--route", "stock", "--limit", "7"}, told: `list false "stock" 7`,
			out: "ID  STATE  ROUTE  ACCEPTED              ATTEMPTS  NEXT TRY              SEQUENCE  WRITE         BLOCKS  LATER DONE  PROBLEM\nA   dead   stock  1970-01-01T00:00:00Z  2         1970-01-01T00:01:00Z  7         PUT /stock/5  yes     no          x\n"},
		{name: "retry a write", cmd: writesCommand, args: []string{"retry", "A", "--force"}, told: "retry A true", out: "write A is tried again\n"},
		{name: "drop a write", cmd: writesCommand, args: []string{"drop", "A"}, told: "drop A false", out: "write A is dropped\n"},
		{name: "drop a write that waits", cmd: writesCommand, args: []string{"drop", "A", "--force"}, told: "drop A true", out: "write A is dropped\n"},
		{name: "drop what is not there", cmd: writesCommand, args: []string{"drop", "A"}, err: lost, told: "drop A false", fails: "valkey is gone"},

		{name: "explain", cmd: explainCommand, args: []string{"GET", "/a?b=c&d", "-H", "Accept: x", "-H", "Accept: y"}, told: "GET /a?b=c&d map[Accept:[x y]]",
			out: "route: stock\nmembers:\n  - key:a\n  - \"evil\\x1b[2J\"\ncopy: none\nfresh:\n  ttl: 0\n"},
		{name: "explain as JSON", cmd: explainCommand, args: []string{"GET", "/", "--json"}, told: "GET / map[Accept:[*/*]]",
			out: `{"route":"stock","members":["key:a","evil\u001b[2J"],"copy":null,"fresh":{"ttl":0}}` + "\n"},
		{name: "explain half a request", cmd: explainCommand, args: []string{"GET"}, fails: "1 argument missing; write: explain METHOD URL [flags]"},
		{name: "explain what is no URL", cmd: explainCommand, args: []string{"GET", "a"}, fails: "begins with '/'"},

		{name: "mode", cmd: modeCommand, args: []string{"--route", "stock", "off", "--for", "90m"}, told: "stock off 1 1h30m0s false", out: "route stock: off for 1h30m0s\n"},
		{name: "mode for good", cmd: modeCommand, args: []string{"--route", "a/b", "on"}, told: "a/b on 1 0s false", out: "route a/b: on\n"},
		{name: "mode for a share", cmd: modeCommand, args: []string{"--route", "stock", "on", "--share", "12.5%"}, told: "stock on 0.125 0s false",
			out: "route stock: on for 12.5% of the requests\n"},
		{name: "mode for no share", cmd: modeCommand, args: []string{"--route", "stock", "on", "--share", "half"}, fails: "such as 10%"},
		{name: "mode as configured", cmd: modeCommand, args: []string{"--route", "stock", "--reset"}, told: "stock on 0 0s true",
			out: "route stock: on for 10% of the requests, as configured\n"},
		{name: "mode as configured, and not", cmd: modeCommand, args: []string{"--route", "stock", "off", "--reset"}, fails: "leave out"},
		{name: "mode, on this instance only", cmd: modeCommand, args: []string{"--route", "stock", "off"}, receipt: &invalidation.Receipt{}, err: lost,
			told: "stock off 1 0s false", fails: "in force on this instance only"},
		{name: "modes", cmd: modeCommand, out: "ROUTE  MODE  SHARE  CONFIGURED  SET BY  SINCE                 UNTIL\n" +
			"stock  on    10%    as is                                     \n" +
			"a/b    off   100%   on 100%     sre     2030-01-02T03:04:05Z  switched again\n"},
		{name: "mode of which route", cmd: modeCommand, args: []string{"--for", "1h"}, fails: "--route NAME"},
		{name: "no mode", cmd: modeCommand, args: []string{"--route", "stock"}, fails: "on, observe or off"},
		{name: "mode of no route", cmd: modeCommand, args: []string{"--route", "x", "on"}, fails: "stock, a/b"},
		{name: "mode without route", cmd: modeCommand, args: []string{"on"}, fails: "--route NAME"},
		{name: "mode that is none", cmd: modeCommand, args: []string{"--route", "stock", "paused"}, fails: "paused"},
		{name: "mode back in time", cmd: modeCommand, args: []string{"--route", "stock", "off", "--for", "-1h"}, fails: "negative"},

		{name: "health", cmd: healthCommand, out: "status: ready\n"},
		{name: "health of one that drains", cmd: healthCommand, err: errors.New("draining"), fails: "draining"},
		{name: "life of one that drains", cmd: healthCommand, args: []string{"--live"}, err: lost, out: "status: ok\nbuild: v1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := operate(t)
			if o.err = c.err; c.receipt != nil {
				o.receipt = *c.receipt
			}
			t.Setenv("CACHEPROXY_ADMIN", o.url)
			t.Setenv("CACHEPROXY_ADMIN_TOKEN", secret)
			out, err := run(t, c.cmd(), c.args...)
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			if out != c.out {
				t.Errorf("printed %q, want %q", out, c.out)
			}
			if told := strings.Join(o.told, "; "); told != c.told {
				t.Errorf("told %s, want %s", told, c.told)
			}
		})
	}
}

func TestWhoAsks(t *testing.T) {
	o := operate(t)
	write := func(content string) string {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name, address, token string
		args                 []string
		fails                string
	}{
		{"environment", o.url, secret, nil, ""},
		{"flag before environment", "http://127.0.0.1:1", secret, []string{"--admin", o.url + "/"}, ""},
		{"file before environment", o.url, "wrong", []string{"--token-file", write(secret + "\n")}, ""},
		{"no token", o.url, "", nil, "--token-file"},
		{"wrong token", o.url, "wrong", nil, "not known here"},
		{"empty file", o.url, secret, []string{"--token-file", write("\n")}, "is empty"},
		{"no file", o.url, secret, []string{"--token-file", "/nonexistent"}, "read token"},
		{"no URL", "127.0.0.1:8081", secret, nil, "not a URL"},
		{"other scheme", "ftp://127.0.0.1", secret, nil, "not a URL"},
		{"nobody there", "http://127.0.0.1:1", secret, nil, "is it running"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("CACHEPROXY_ADMIN", c.address)
			t.Setenv("CACHEPROXY_ADMIN_TOKEN", c.token)
			_, err := run(t, purgeCommand(), append([]string{"--key", "a"}, c.args...)...)
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
		})
	}
}

// The token must not follow a redirect, and what is not this program's listener must not pass for success.
func TestSomethingElseListens(t *testing.T) {
	followed := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		followed = followed || r.URL.Path == "/elsewhere"
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	for _, cmd := range []*cobra.Command{healthCommand(), purgeCommand()} {
		args := []string{"--admin", srv.URL}
		if cmd.Name() == "purge" {
			args = append(args, "--key", "a")
		}
		if _, err := run(t, cmd, args...); err == nil || !strings.Contains(err.Error(), "307") {
			t.Errorf("%s: %v", cmd.Name(), err)
		}
	}
	if followed {
		t.Error("a redirect was followed")
	}
}

func TestAnswerThatIsNoReceipt(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	defer srv.Close()
	if out, err := run(t, purgeCommand(), "--admin", srv.URL, "--key", "a"); err == nil || out != "" {
		t.Errorf("taken for a receipt: %q", out)
	}
}

func TestVersion(t *testing.T) {
	out, err := run(t, versionCommand())
	if err != nil || !strings.HasPrefix(out, "cacheproxy ") || !strings.Contains(out, "go1.") {
		t.Errorf("%q %v", out, err)
	}
}
