package config

import (
	"net"
	"net/url"
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
	Timeout  time.Duration // of one read; a slower read is a miss
	Lease    time.Duration // how long copies may be used without news of purges
	Required bool          // do not start without it
	Replicas int           // number of replicas that must have an entry before it is acknowledged
	Compress bool          // copies are compressed with zstd
	Secrets  []string      // sign (the first) and verify (any) entries and copies; empty: nothing is signed
	Signed   bool          // entries and copies without a signature are refused
	Instance string        // name of this process, without its unique part; empty: the machine's name
}

// Shown is the address of the server, without secrets.
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

var (
	durabilities = []choice[int]{{"none", 0}, {"replicas", 1}} // replicas that acknowledge an entry
	compresses   = []choice[bool]{{"none", false}, {"zstd", true}}
	signatures   = []choice[bool]{{"verify", false}, {"require", true}} // whether signatures are required
)

const (
	// readsPerLease is how many reads must fit into the lease: a slower read could end after the copy has become
	// unusable.
	readsPerLease = 4

	valkeyPort   = "6379"
	sentinelPort = "26379"
)

// compileValkey is nil where the section is not written.
func compileValkey(doc *part, beside *files) *Valkey {
	if !doc.written() {
		return nil
	}
	v := &Valkey{
		Prefix: doc.text("prefix"), Timeout: doc.duration("timeout"), Lease: doc.duration("lease"), Required: doc.flag("required"),
		Compress: read[bool](doc, "compress"), Replicas: read[int](doc, "durability"), Instance: doc.text("instance"),
		Server: compileServer(doc, beside), Secrets: compileSecrets(doc), Signed: read[bool](doc, "signatures"),
	}
	if most := v.Lease / readsPerLease; v.Timeout > most && !doc.spoiled("lease") && !doc.spoiled("timeout") {
		doc.problem("timeout", "is more than a quarter of valkey.lease (%s): a copy that is read that slowly could not be used any more; write %s or less, or a longer lease", v.Lease, most)
	}
	doc.there, doc.Part("sentinel").there, doc.Part("tls").there = true, v.Server.Sentinel != nil, v.Server.TLS != nil
	doc.setInForce("username", v.Server.Username)
	doc.setInForce("password", v.Server.Password)
	if v.Server.Sentinel == nil {
		doc.setInForce("url", v.Shown())
	}
	return v
}

// secretBytes is the least length of a secret: the length of the hash inside (RFC 2104 §3).
const secretBytes = 32

// compileSecrets reads the secrets for signatures. Reports never hold a secret.
func compileSecrets(doc *part) (secrets []string) {
	for at, text := range doc.entries("secrets") {
		switch {
		case len(text) < secretBytes:
			doc.problem(at, "is shorter than %d bytes; make one with: openssl rand -hex 32", secretBytes)
		case slices.Contains(secrets, text):
			doc.problem(at, "is there twice; remove one")
		default:
			secrets = append(secrets, text)
		}
	}
	switch written := len(read[[]string](doc, "secrets")) > 0; {
	case !written && doc.has("signatures"):
		doc.problem("signatures", "has no effect without valkey.secrets; write secrets: [\"${file:/run/secrets/valkey-sign}\"], or remove it")
	case written && !read[bool](doc, "signatures"):
		doc.warn("secrets", "what has no signature is taken as before, so that whoever can write to Valkey leaves it out; once every instance has the secrets, write signatures: require")
	}
	return secrets
}

// compileServer compiles the address of the server and the credentials for it.
func compileServer(doc *part, beside *files) (s valkey.Server) {
	url, sentinel, secure := doc.text("url"), doc.Part("sentinel"), doc.Part("tls").written()
	switch found := sentinel.written(); {
	case doc.spoiled("") || doc.spoiled("url") || doc.spoiled("sentinel"):
		return s
	case found && url != "":
		doc.problem("sentinel", "is there beside url, and finds the server itself; remove one of them")
		return s
	case found:
		s.Sentinel = &valkey.Sentinel{Master: sentinel.text("master"), Username: sentinel.text("username"), Password: sentinel.text("password")}
		for at, text := range sentinel.entries("addresses") {
			s.Addresses = appendNode(s.Addresses, sentinel, at, text, sentinelPort)
		}
		sentinel.setInForce("addresses", s.Addresses)
	case url == "":
		doc.problem("", "no server is named; write %s: valkey://127.0.0.1:6379, or %s: {master: mymaster, addresses: [\"10.0.0.1:26379\"]}", doc.at("url"), doc.at("sentinel"))
		return s
	default:
		if secure = takeApart(doc, url, &s); doc.spoiled("url") {
			return s
		}
	}
	takeCredentials(doc, &s)
	if secure {
		s.TLS = compileClientTLS(doc.Part("tls"), beside)
	}
	return s
}

// takeApart reads a URL: scheme://user:password@host:port,host:port/database. secure: the URL asks for TLS. Reports
// never hold the URL, which may hold a password.
func takeApart(doc *part, text string, s *valkey.Server) (secure bool) {
	const form = "write valkey://127.0.0.1:6379, valkeys:// for TLS, user:password@ before the host, several hosts of one cluster with commas between them"
	scheme, rest, _ := strings.Cut(text, "://")
	switch scheme {
	case "valkey", "redis":
		if doc.Part("tls").written() {
			doc.problem("tls", "has no effect with a %s:// url; write url: %ss://, or remove it", scheme, scheme)
		}
	case "valkeys", "rediss":
		secure = true
	default:
		doc.spoil("url", "is not the URL of a server; %s", form)
		return false
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, password, _ := strings.Cut(rest[:i], ":")
		var failed, failedToo error
		s.Username, failed = url.PathUnescape(user)
		s.Password, failedToo = url.PathUnescape(password)
		if failed != nil || failedToo != nil {
			doc.spoil("url", "has a %% in its user or password that begins no escape; write %%25, or use username: and password: instead")
			return false
		}
		rest = rest[i+1:]
	}
	hosts, database, _ := strings.Cut(rest, "/")
	if strings.ContainsAny(hosts+database, "?#@") {
		doc.spoil("url", "has something after the database, or a character in its password that has to be escaped; %s", form)
		return false
	}
	for host := range strings.SplitSeq(hosts, ",") {
		s.Addresses = appendNode(s.Addresses, doc, "url", host, valkeyPort)
	}
	n, err := strconv.ParseUint(database, 10, 16)
	switch {
	case database == "":
	case err != nil:
		doc.spoil("url", "ends in %s, which is not the number of a database; write /0, or nothing", quote("/"+database))
	case n > 0 && len(s.Addresses) > 1:
		doc.spoil("url", "names database %d of a cluster, which has only 0; remove it: valkey.prefix keeps keys apart", n)
	}
	s.Database = int(n)
	return secure
}

// appendNode adds the address in text, with a default port, to the addresses before.
func appendNode(before []string, doc *part, at, text, port string) []string {
	if doc.spoiled(at) {
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
	case failed != nil || n == 0 || !serverName.MatchString(host) || err != nil && strings.Contains(host, ":") && !strings.HasPrefix(text, "["):
		// The problem does not quote the text, which may be part of a password.
		doc.spoil(at, "has something else in the place of an address; write host:port")
	case slices.Contains(before, address):
		doc.spoil(at, "names %s twice; remove one", address)
	default:
		return append(before, address)
	}
	return before
}

// takeCredentials takes user and password from keys of their own, where secrets need no escapes.
func takeCredentials(doc *part, s *valkey.Server) {
	username, password := doc.text("username"), doc.text("password")
	switch own := username != "" || password != ""; {
	case own && (s.Username != "" || s.Password != ""):
		at := "password"
		if password == "" {
			at = "username"
		}
		doc.problem(at, "is there beside a user or password in url; keep one")
		return
	case own:
		s.Username, s.Password = username, password
	}
	if s.Username != "" && s.Password == "" {
		doc.problem("", "names a user without a password; write password: \"${file:/run/secrets/valkey}\"")
	}
}
