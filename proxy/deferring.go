package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// deferring is a route that queues writes. The route is in force on this instance, or is or was in force on another
// instance and may still have writes in the queue. deferring gives the keys of queued writes for which a write of any
// route has to wait.
type deferring struct {
	name    string
	said    string // the definition as JSON, in the form that instances publish
	key     policy.Template
	keyed   bool   // the host is part of the key
	status  string // path under which the states of the writes are shown
	table   *policy.Table
	methods []string // methods of the patterns; "": any
}

// definition is the description of a route that queues writes, which instances publish to each other as JSON.
type definition struct {
	Name     string   `json:"name"`
	Patterns []string `json:"patterns"`
	Key      string   `json:"key,omitempty"`
	Keyed    bool     `json:"keyed,omitempty"`
	Status   string   `json:"status"`
}

// deferringOf returns the deferring of each route that queues writes.
func deferringOf(routes []*route) (all []*deferring) {
	for _, r := range routes {
		if r.behind == nil {
			continue
		}
		d := definition{Name: r.Name, Key: r.WriteKey.String(), Keyed: r.Host.Literal == "", Status: r.behind.StatusPath}
		for _, p := range r.Patterns {
			d.Patterns = append(d.Patterns, p.String())
		}
		said, err := json.Marshal(d)
		if err != nil {
			panic(fmt.Sprintf("BUG: the definition of a route cannot be written: %v", err))
		}
		if of, err := parseDeferring(string(said)); err == nil { // never an error: all parts were parsed before
			all = append(all, of)
		}
	}
	return all
}

// parseDeferring reads a definition.
func parseDeferring(said string) (*deferring, error) {
	var d definition
	if err := json.Unmarshal([]byte(said), &d); err != nil {
		return nil, fmt.Errorf("read route of the queue: %w", err)
	}
	of := &deferring{name: d.Name, said: said, keyed: d.Keyed, status: d.Status}
	r := &policy.Route{Name: d.Name}
	for _, text := range d.Patterns {
		p, err := policy.ParsePattern(text)
		if err != nil {
			return nil, err
		}
		r.Patterns = append(r.Patterns, p)
		if !slices.Contains(of.methods, p.Method()) {
			of.methods = append(of.methods, p.Method())
		}
	}
	if d.Key != "" {
		var err error
		if of.key, err = policy.ParseTemplate(d.Key); err != nil {
			return nil, err
		}
	}
	var err error
	if of.table, err = policy.NewTable([]*policy.Route{r}); err != nil {
		return nil, fmt.Errorf("read route of the queue: %w", err)
	}
	return of, nil
}

// keyName names the resource that a write is about: by the key template of the route or, without a template, by the
// path. keyed adds the host to a name by the path, for a route whose origin sees the host.
//
// Invariant: two writes that an API may take for writes to one resource have the same name, however their hosts and
// paths are spelled.
func keyName(key policy.Template, keyed bool, m *policy.Match, t httpcache.Target) string {
	t.Host = keyHost(t.Host)
	if !key.Zero() {
		name, _ := key.Render(policy.Values{Match: m, Target: t, Query: t.Query})
		return "k" + name
	}
	if !keyed {
		t.Host = ""
	}
	return "u" + t.Host + httpcache.CanonicalPath(policy.CleanTarget(t).Path)
}

// keyHost is a host in the form that key names have. Letters are in lower case (RFC 3986 §6.2.2.1), escapes are decoded
// (§6.2.2.2), and a trailing dot is removed. An address has one form (RFC 5952), without a zone. The port is removed,
// since servers choose a site by name alone. If keyHost makes two hosts equal that are different sites, their writes
// only wait for each other without need.
func keyHost(host string) string {
	var plain strings.Builder
	for i := 0; i < len(host); i++ {
		if c, ok := httpcache.UnescapeAt(host, i); ok {
			plain.WriteByte(c)
			i += 2
			continue
		}
		plain.WriteByte(host[i])
	}
	name := strings.TrimRight(strings.ToLower(httpcache.HostOnly(plain.String())), ".")
	if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		addr = addr.Unmap().WithZone("")
		if name = addr.String(); addr.Is6() {
			name = "[" + name + "]"
		}
	}
	return name
}

// names returns the names (keyName) that the route has for writes to a target, by any method of the route and by either
// spelling of the host.
func (d *deferring) names(t httpcache.Target) (names []string) {
	clean := t
	clean.Path = policy.CleanTarget(t).Path
	for _, method := range d.methods {
		if method == "" {
			method = http.MethodPut
		}
		for _, clean.Host = range [...]string{t.Host, keyHost(t.Host)} {
			if m, _ := d.table.Match(method, clean, nil, netip.Addr{}); m.Route != nil {
				if name := keyName(d.key, d.keyed, &m, clean); !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// ownKey is the name (keyName) that the route of the request has for the resource of the request.
func ownKey(rq *request) string {
	return keyName(rq.route.WriteKey, rq.route.Host.Literal == "", &rq.match, rq.target)
}
