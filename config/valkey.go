package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/invalidation/valkey"
)

// Valkey is the server that several instances share.
type Valkey struct {
	Server   valkey.Server
	Prefix   string        // of every key
	Timeout  time.Duration // of one read, which then is a miss
	Lease    time.Duration // how long copies may be used without news of purges
	Required bool          // do not start without it
	Replicas int           // how many must have an entry before it is acknowledged
	Compress bool          // copies, with zstd
	Instance string        // the name of this process but for what makes it unique; empty: the machine's
}

// Shown is where the server is, without secrets.
func (v *Valkey) Shown() string {
	s, hosts := v.Server, strings.Join(v.Server.Addresses, ",")
	if s.Sentinel != nil {
		return "sentinel " + s.Sentinel.Master + " at " + hosts
	}
	scheme := "valkey://"
	if s.TLS != nil {
		scheme = "valkeys://"
	}
	if s.Database != 0 {
		hosts += "/" + strconv.Itoa(s.Database)
	}
	return scheme + hosts
}

// Cluster reports whether the server is one of several nodes.
func (v *Valkey) Cluster() bool { return len(v.Server.Addresses) > 1 && v.Server.Sentinel == nil }

// durability says who must have an entry of the log before it is acknowledged.
type durability uint8

const (
	durableNowhere durability = iota
	durableReplicas
)

// compress is how copies are packed for the server.
type compress uint8

const (
	compressNone compress = iota
	compressZstd
)

var (
	durabilities = []choice[durability]{{"none", durableNowhere}, {"replicas", durableReplicas}}
	compresses   = []choice[compress]{{"none", compressNone}, {"zstd", compressZstd}}
)

const (
	minLease, maxLease = 500 * time.Millisecond, time.Minute
	// readsPerLease is how many times a read must fit into the lease: what comes later might not be used any more.
	readsPerLease = 4

	valkeyPort   = "6379"
	sentinelPort = "26379"
)

// keyPrefix has no braces, which would decide where a cluster keeps a key.
var keyPrefix = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$`)

// valkey compiles the section; nil where there is none.
func (l *loader) valkey(doc *Part) *Valkey {
	if !l.wroteBelow("valkey") {
		return nil
	}
	v := &Valkey{
		Prefix: doc.text("prefix"), Timeout: doc.duration("timeout"), Lease: doc.duration("lease"), Required: doc.flag("required"),
		Compress: read[compress](doc, "compress") == compressZstd, Instance: doc.text("instance"),
	}
	if read[durability](doc, "durability") == durableReplicas {
		v.Replicas = 1
	}
	l.valkeyServer(doc, &v.Server)
	l.valkeyTimes(v)
	if !l.spoiled("valkey.prefix") && !keyPrefix.MatchString(v.Prefix) {
		l.problem("valkey.prefix", "%s cannot begin keys; use up to 64 letters, digits, dots, dashes, underscores and colons, such as shop", quote(v.Prefix))
	}
	if l.has("valkey.instance") && !nameForm.MatchString(v.Instance) {
		l.problem("valkey.instance", "%s is not a name; use up to 64 letters, digits, dots, dashes and underscores, such as ${HOSTNAME}", quote(v.Instance))
	}
	doc.there, doc.section("sentinel").there, doc.section("tls").there = true, v.Server.Sentinel != nil, v.Server.TLS != nil
	doc.setInForce("username", v.Server.Username)
	doc.setInForce("password", v.Server.Password)
	if v.Server.Sentinel == nil {
		doc.setInForce("url", v.Shown())
	}
	return v
}

// wroteBelow reports whether a value of the section was written, be it in the environment.
func (l *loader) wroteBelow(section string) bool {
	for path := range l.places {
		if path == section || strings.HasPrefix(path, section+".") {
			return true
		}
	}
	return false
}

// valkeyServer compiles where the server is and how to get in.
func (l *loader) valkeyServer(doc *Part, s *valkey.Server) {
	url, found, secure := doc.text("url"), l.wroteBelow("valkey.sentinel"), l.wroteBelow("valkey.tls")
	switch {
	case l.spoiled("valkey") || l.spoiled("valkey.url") || l.spoiled("valkey.sentinel"):
		return
	case found && url != "":
		l.problem("valkey.sentinel", "is there beside url, and finds the server itself; remove one of them")
		return
	case found:
		l.sentinel(doc.section("sentinel"), s)
	case url == "":
		l.problem("valkey", "names no server; write url: valkey://127.0.0.1:6379, or sentinel: {master: mymaster, addresses: [\"10.0.0.1:26379\"]}")
		return
	default:
		var ok bool
		if secure, ok = l.valkeyURL(url, s); !ok {
			return
		}
	}
	l.credentials(doc, s)
	if secure {
		s.TLS = l.clientTLS(doc.section("tls"))
	}
}

// sentinel compiles the sentinels that know where the server is.
func (l *loader) sentinel(doc *Part, s *valkey.Server) {
	s.Sentinel = &valkey.Sentinel{Master: doc.text("master"), Username: doc.text("username"), Password: doc.text("password")}
	if at := doc.at("master"); s.Sentinel.Master == "" && !l.spoiled(at) {
		l.problem(at, "is missing; write the name under which the sentinels watch the server, such as master: mymaster")
	}
	addresses, at := doc.list("addresses"), doc.at("addresses")
	if len(addresses) == 0 && !l.spoiled(at) {
		l.problem(at, "is missing or empty; write addresses: [\"10.0.0.1:26379\"], best of all sentinels")
	}
	for i, text := range addresses {
		if at := index(at, i); !l.spoiled(at) {
			s.Addresses = l.node(at, s.Addresses, text, sentinelPort)
		}
	}
	doc.setInForce("addresses", s.Addresses)
}

// valkeyURL takes a URL apart: scheme://user:password@host:port,host:port/database. It says whether it asks for TLS, and
// whether all is well. What it reports never holds the URL, which may hold a password.
func (l *loader) valkeyURL(text string, s *valkey.Server) (secure, ok bool) {
	const at, form = "valkey.url", "write valkey://127.0.0.1:6379, valkeys:// for TLS, user:password@ before the host, several hosts of one cluster with commas between them"
	scheme, rest, _ := strings.Cut(text, "://")
	switch scheme {
	case "valkey", "redis":
		if l.wroteBelow("valkey.tls") {
			l.problem("valkey.tls", "has no effect with a %s:// url; write url: %ss://, or remove it", scheme, scheme)
		}
	case "valkeys", "rediss":
		secure = true
	default:
		l.spoil(at, "is not the URL of a server; %s", form)
		return false, false
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, password, _ := strings.Cut(rest[:i], ":")
		var failed, failedToo error
		s.Username, failed = url.PathUnescape(user)
		s.Password, failedToo = url.PathUnescape(password)
		if failed != nil || failedToo != nil {
			l.spoil(at, "has a %% in its user or password that begins no escape; write %%25, or use username: and password: instead")
			return false, false
		}
		rest = rest[i+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	if strings.ContainsAny(hosts+path, "?#@") {
		l.spoil(at, "has something after the database, or a character in its password that has to be escaped; %s", form)
		return false, false
	}
	for host := range strings.SplitSeq(hosts, ",") {
		s.Addresses = l.node(at, s.Addresses, host, valkeyPort)
	}
	if path != "" {
		n, err := strconv.ParseUint(path, 10, 16)
		switch {
		case err != nil:
			l.spoil(at, "ends in %s, which is not the number of a database; write /0, or nothing", quote("/"+path))
		case n > 0 && len(s.Addresses) > 1:
			l.spoil(at, "names database %d of a cluster, which has only 0; remove it: valkey.prefix keeps keys apart", n)
		}
		s.Database = int(n)
	}
	return secure, !l.spoiled(at)
}

// node adds the address in text, with a default port, to those before it.
func (l *loader) node(path string, before []string, text, port string) []string {
	if l.spoiled(path) {
		return before
	}
	address := text
	host, given, err := net.SplitHostPort(text)
	if err != nil {
		host, given = strings.Trim(text, "[]"), port
		address = net.JoinHostPort(host, port)
	}
	n, failed := strconv.ParseUint(given, 10, 16)
	switch {
	case host == "" || failed != nil || n == 0 || !serverName.MatchString(host) || err != nil && strings.Contains(host, ":") && !strings.HasPrefix(text, "["):
		l.spoil(path, "has something else in the place of an address; write host:port") // not what: it may be part of a password
	case slices.Contains(before, address):
		l.spoil(path, "names %s twice; remove one", address)
	default:
		return append(before, address)
	}
	return before
}

// credentials takes user and password from keys of their own, where secrets need no escapes.
func (l *loader) credentials(doc *Part, s *valkey.Server) {
	username, password := doc.text("username"), doc.text("password")
	if (s.Username != "" || s.Password != "") && (username != "" || password != "") {
		at := "valkey.password"
		if password == "" {
			at = "valkey.username"
		}
		l.problem(at, "is there beside a user or password in url; keep one")
		return
	}
	if username != "" || password != "" {
		s.Username, s.Password = username, password
	}
	if s.Username != "" && s.Password == "" {
		l.problem("valkey", "names a user without a password; write password: \"${file:/run/secrets/valkey}\"")
	}
}

// valkeyTimes holds the lease and the timeout of a read against each other.
func (l *loader) valkeyTimes(v *Valkey) {
	switch {
	case l.spoiled("valkey.lease") || v.Lease == 0:
	case v.Lease < minLease:
		l.problem("valkey.lease", "is less than %s, so that a pause of the server or of this process would make every copy unusable; write 3s", minLease)
	case v.Lease > maxLease:
		l.problem("valkey.lease", "is more than %s; a purge waits that long for an instance that has died; write 3s", maxLease)
	case !l.spoiled("valkey.timeout") && v.Timeout > v.Lease/readsPerLease:
		l.problem("valkey.timeout", "is more than a quarter of valkey.lease (%s): a copy that is read that slowly could not be used any more; write %s or less, or a longer lease",
			v.Lease, v.Lease/readsPerLease)
	}
}
