package config

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/policy"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Postgres is the database whose changes make copies unusable.
type Postgres struct {
	Conn             *pgx.ConnConfig // copied before a change of it
	Notify           bool            // changes also send NOTIFY
	Poll             time.Duration   // time between two queries for changes
	MaxLag           time.Duration   // how long changes may go unseen before the feed counts as blind
	DownTTL          time.Duration   // how long copies are fresh while the feed is blind
	postgres.Logical                 // replication slot that reports changes; without a slot, triggers report them
	url              string
	password         string
	Mappings         []*postgres.Mapping
}

var (
	onErrors = []choice[bool]{{"fail_write", false}, {"lose", true}}
	sources  = []choice[bool]{{"triggers", false}, {"logical", true}}
	events   = []choice[postgres.Event]{
		{"insert", postgres.Insert}, {"update", postgres.Update}, {"delete", postgres.Delete}, {"truncate", postgres.Truncate},
	}
)

const (
	// maxFeeds and maxColumns bound the names of a copy and the size of a row in the outbox.
	maxFeeds   = 64
	maxColumns = 16

	postgresForm = "write schema.table, such as public.product"
)

// Shown is the address of the database, without secrets.
func (p *Postgres) Shown() string {
	c := p.Conn
	if c == nil {
		return ""
	}
	hosts := []string{hostPort(c.Host, c.Port)}
	// The same host may be there twice, with TLS and without.
	for _, f := range c.Fallbacks {
		if at := hostPort(f.Host, f.Port); !slices.Contains(hosts, at) {
			hosts = append(hosts, at)
		}
	}
	return "postgres://" + c.User + "@" + strings.Join(hosts, ",") + "/" + c.Database
}

// Source parses the URL again, with the files and the environment of this moment: a password file may have been
// replaced.
func (p *Postgres) Source() (*pgx.ConnConfig, error) { return postgres.ParseURL(p.url, p.password) }

// Key is equal for equal settings of the database's address. Key holds no secret in clear.
func (p *Postgres) Key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(p.url), p.url, p.password))
	return hex.EncodeToString(sum[:])
}

func hostPort(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return host // the folder of a socket
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// compilePostgres is nil where the section is not written. feedRoutes adds what depends on routes.
func compilePostgres(doc *part, s *Snapshot) *Postgres {
	if !doc.written() {
		return nil
	}
	p := &Postgres{
		Notify: doc.flag("notify"), Poll: doc.duration("poll"), MaxLag: doc.duration("max_feed_lag"), DownTTL: doc.duration("feed_down_ttl"),
		url: doc.text("url"), password: doc.text("password"),
	}
	p.compileSource(doc)
	if p.MaxLag <= p.Poll && !doc.spoiled("poll") && !doc.spoiled("max_feed_lag") {
		doc.problem("max_feed_lag", "is not more than postgres.poll (%s), so that the feed would count as blind between two looks; write 10s", p.Poll)
	}
	doc.there = true
	p.Conn = compileConn(doc)
	feeds := doc.sections("feeds")
	if len(feeds) > maxFeeds {
		doc.problem("feeds", "are more than %d, and every copy carries a name for each; leave some out", maxFeeds)
	}
	for i, feed := range feeds {
		m := compileFeed(feed, s)
		m.Lossy = read[bool](doc, "on_error")
		if m.Replicated && p.Slot != "" {
			feed.problem("replicated", "has no effect with source: logical, which tells of what replication brings in any case; remove it")
		}
		same := slices.IndexFunc(p.Mappings, func(other *postgres.Mapping) bool {
			return other.Schema == m.Schema && other.Table == m.Table && m.Table != ""
		})
		if p.Mappings = append(p.Mappings, m); same >= 0 {
			feeds[i].problem("table", "has a feed on line %d; write the names of both there", p.Mappings[same].Line)
		}
	}
	return p
}

// warnOfLoneFeed warns where a feed has no fleet: only one instance may consume the changes.
func warnOfLoneFeed(doc *part, s *Snapshot) {
	if s.Postgres != nil && len(s.Postgres.Mappings) > 0 && !doc.Part("valkey").written() {
		doc.Part("postgres").warn("feeds", "are consumed without valkey, which is right for one instance alone; of two, each misses the changes that the other takes: give replicas a valkey")
	}
}

// reportIdle refuses a database that neither feeds nor archives use.
func reportIdle(doc *part, s *Snapshot) {
	for _, b := range s.Boards {
		if b.Archive != nil {
			return
		}
	}
	if s.Postgres != nil && len(s.Postgres.Mappings) == 0 && !doc.Part("postgres").spoiled("feeds") {
		doc.Part("postgres").problem("feeds", "is missing or empty, and no board goes to an archive; write at least one: - {table: public.product, tags: [\"product:{id}\"]}")
	}
}

// compileSource says what reports changes, and refuses keys that have no effect with that source.
func (p *Postgres) compileSource(doc *part) {
	if !read[bool](doc, "source") {
		for _, name := range []string{"slot", "publication"} {
			if doc.has(name) {
				doc.problem(name, "has no effect with source: triggers; write source: logical, or remove it")
			}
		}
		return
	}
	p.Logical = postgres.Logical{Slot: doc.text("slot"), Publication: doc.text("publication")}
	if strings.Trim(p.Slot, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || len(p.Slot) > 63 || p.Slot == "" {
		doc.spoil("slot", "%s is not the name of a slot; write up to 63 of a-z, 0-9 and _, such as cacheproxy", quote(p.Slot))
	}
	if len(p.Publication) > 63 || p.Publication == "" || strings.ContainsRune(p.Publication, 0) {
		doc.spoil("publication", "%s is not the name of a publication; write up to 63 bytes, such as cacheproxy", quote(p.Publication))
	}
	if p.Notify {
		doc.problem("notify", "has no effect with source: logical, of which no trigger sends anything; remove it")
	}
	if read[bool](doc, "on_error") {
		doc.problem("on_error", "has no effect with source: logical, where no statement can fail for it; remove it")
	}
}

// compileConn is the address of the database; nil: unknown.
func compileConn(doc *part) *pgx.ConnConfig {
	url := doc.text("url")
	if url == "" || doc.spoiled("url") || strings.Contains(url, standsIn) {
		return nil
	}
	conn, err := postgres.ParseURL(url, doc.text("password"))
	if err != nil {
		doc.spoil("url", "%w", err)
		return nil
	}
	doc.setInForce("url", (&Postgres{Conn: conn}).Shown())
	doc.setInForce("password", conn.Password)
	if host := unverified(conn); host != "" {
		doc.warn("url", "does not have the server at %s prove who it is; write sslmode=verify-full, and sslrootcert=FILE where its authority is your own", host)
	}
	return conn
}

// unverified is the first host whose certificate is not verified although others may listen on the way there; empty:
// none.
func unverified(c *pgx.ConnConfig) string {
	verifies := func(c *tls.Config) bool { return c != nil && (!c.InsecureSkipVerify || c.VerifyPeerCertificate != nil) }
	all := append([]*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	for _, at := range all {
		ip := net.ParseIP(at.Host)
		if !verifies(at.TLSConfig) && at.Host != "localhost" && !strings.HasPrefix(at.Host, "/") && (ip == nil || !ip.IsLoopback()) {
			return at.Host
		}
	}
	return ""
}

// compileFeed is one table and the names that its rows stand for.
func compileFeed(doc *part, s *Snapshot) *postgres.Mapping {
	checkKeys(doc)
	m := &postgres.Mapping{Line: doc.report.at(doc.path).line, Names: &policy.Invalidates{}, Replicated: doc.flag("replicated"), Upstream: doc.text("upstream")}
	if text := doc.text("table"); text != "" && !doc.spoiled("table") {
		var ok bool
		if m.Schema, m.Table, ok = splitTable(text); !ok {
			doc.spoil("table", "%s is not the name of a table; %s", quote(text), postgresForm)
		} else if m.Schema == "cacheproxy" || m.Schema == "information_schema" || strings.HasPrefix(m.Schema, "pg_") {
			doc.spoil("table", "is in schema %s, where changes of the database itself or of the feed are kept, which no trigger may tell of; write one of your own tables", m.Schema)
		}
	}
	compileEvents(doc, m)
	templates := func(name string) (list []policy.Template) {
		for at, text := range doc.entries(name) {
			t, err := policy.ParseTemplate(text)
			if err != nil {
				doc.problem(at, "%w", err)
				continue
			}
			list = append(list, t)
			columns, ok := t.Columns()
			if !ok {
				doc.problem(at, "%s names something of a request, and a row has only columns; write {column}", quote(text))
			}
			for _, column := range columns {
				if !slices.Contains(m.Columns, column) {
					m.Columns = append(m.Columns, column)
				}
			}
		}
		return list
	}
	m.Names.Keys, m.Names.Tags, m.Names.URLs, m.Names.Prefixes = templates("keys"), templates("tags"), templates("urls"), templates("prefixes")
	switch {
	case len(m.Columns) > maxColumns:
		doc.problem("", "names more than %d columns; write fewer names, or a tag that stands for more", maxColumns)
	case len(m.Names.Keys)+len(m.Names.Tags)+len(m.Names.URLs)+len(m.Names.Prefixes) == 0 && !doc.report.spoiledBelow(doc.path):
		doc.problem("", "names nothing; write keys:, tags:, urls: or prefixes:, such as tags: [\"product:{id}\"]")
	}
	m.Settle = s.LongestSettle()
	if m.Upstream != "" && !doc.spoiled("upstream") {
		if _, known := s.Upstream(m.Upstream); !known {
			var names []string
			for _, u := range s.Upstreams {
				names = append(names, u.Name)
			}
			doc.problem("upstream", "%s is not an upstream; write %s, or remove it for all", quote(m.Upstream), oneOf(names))
		}
		m.Settle = s.Settle[m.Upstream]
	}
	m.Identify()
	return m
}

// compileEvents lists the kinds of changes that count, each once and in the order of SQL.
func compileEvents(doc *part, m *postgres.Mapping) {
	written := doc.list("on")
	for range doc.entries("on") { // entries reports unknown words
	}
	for _, e := range events {
		if slices.Contains(written, e.name) {
			m.On = append(m.On, e.value)
		}
	}
	doc.setInForce("on", eventNames(m.On))
	if len(written) == 0 && doc.has("on") {
		doc.problem("on", "names nothing; write [insert, update, delete, truncate], or remove it")
	}
	for at, column := range doc.entries("columns") {
		if slices.Contains(m.Watched, column) {
			doc.problem(at, "%s is there twice; remove one", quote(column))
		}
		m.Watched = append(m.Watched, column)
	}
	if len(m.Watched) > 0 && !slices.Contains(m.On, postgres.Update) {
		doc.problem("columns", "has no effect: it is about updates, which on leaves out; add update to on, or remove this")
	}
}

func eventNames(on []postgres.Event) (names []string) {
	for _, e := range on {
		names = append(names, word(events, e))
	}
	return names
}

// splitTable splits schema.table. Either name may be in double quotes, as in SQL. Without a schema the schema is
// public.
func splitTable(text string) (schema, table string, ok bool) {
	var names []string
	for {
		name, rest, good := cutName(text)
		if !good {
			return "", "", false
		}
		if names = append(names, name); rest == "" {
			break
		}
		if text, good = strings.CutPrefix(rest, "."); !good {
			return "", "", false
		}
	}
	switch len(names) {
	case 1:
		return "public", names[0], true
	case 2:
		return names[0], names[1], true
	}
	return "", "", false
}

// cutName cuts a name off the beginning of a text. A name of more than 63 bytes is refused, since PostgreSQL would
// truncate it.
func cutName(text string) (name, rest string, ok bool) {
	if quoted, is := strings.CutPrefix(text, `"`); is {
		for {
			before, after, closed := strings.Cut(quoted, `"`)
			if !closed {
				return "", "", false
			}
			name += before
			if quoted, is = strings.CutPrefix(after, `"`); !is {
				rest = after
				break
			}
			name += `"`
		}
	} else if i := strings.IndexByte(text, '.'); i >= 0 {
		name, rest = text[:i], text[i:]
	} else {
		name = text
	}
	return name, rest, name != "" && len(name) < 64 && !strings.ContainsRune(name, 0)
}

// downTTL is how long the copies of an upstream's routes are fresh while the feed is blind; zero: no table feeds them.
func (p *Postgres) downTTL(upstream string) time.Duration {
	if len(p.fedBy(upstream)) == 0 {
		return 0
	}
	return p.DownTTL
}

// fedBy lists the tags of the tables that feed the copies of an upstream's routes.
func (p *Postgres) fedBy(upstream string) (tags []policy.Template) {
	if p == nil {
		return nil
	}
	for _, m := range p.Mappings {
		if m.Upstream != "" && m.Upstream != upstream || m.Table == "" {
			continue
		}
		text := strings.NewReplacer("{", "{{", "}", "}}").Replace(m.Whole().Value())
		if t, err := policy.ParseTemplate(text); err == nil { // a text with doubled braces always parses
			tags = append(tags, t)
		}
	}
	return tags
}

// feedRoutes tells the mappings which routes they feed, and the table of routes that names URLs.
func (p *Postgres) feedRoutes(s *Snapshot) {
	if p == nil {
		return
	}
	for _, m := range p.Mappings {
		m.Routes = s.Table
		for _, r := range s.Routes {
			if r.Caches && (m.Upstream == "" || m.Upstream == r.Upstream) {
				m.Fed = append(m.Fed, r.Name)
			}
		}
	}
}
