package admin

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// Plugins and scripts for other caches purge by methods of their own, with fields of their own. The code below reads
// the calls that they are known to send. A field, a path or a pattern that does not fit is refused like any other that
// is not understood.

// foreignFields are the fields that a call of another cache may have, by method, besides the neutral fields.
var foreignFields = map[string]map[string]bool{
	"PURGE":     wordSet(`xkey xkey-purge xkey-softpurge surrogate-key cache-tag cache-tags x-cache-tags purge-cache-tags x-magento-tags-pattern x-purge-method fastly-soft-purge fastly-key`),
	"BAN":       wordSet(`xkey surrogate-key cache-tag cache-tags x-cache-tags purge-cache-tags x-host x-url x-content-type`),
	"URIBAN":    {},
	"PURGEKEYS": wordSet(`xkey xkey-purge xkey-softpurge`),
}

// tagFields are the fields of foreignFields that list tags.
var tagFields = wordSet(`xkey xkey-purge xkey-softpurge surrogate-key cache-tag cache-tags x-cache-tags purge-cache-tags x-magento-tags-pattern`)

// tagPaths are the paths that a call with tags may have. Such a path names nothing.
var tagPaths = wordSet(`/ /tags /souin-api/souin /souin-api/souin/`)

// wordHeader has the fields of a header that belong to a vocabulary, by folded name.
type wordHeader map[string][]string

// wordsOf returns the fields of a header that are in the vocabulary.
func wordsOf(header http.Header, vocabulary map[string]bool) wordHeader {
	words := wordHeader{}
	for name, values := range header {
		if name = foldName(name); vocabulary[name] {
			words[name] = append(words[name], values...)
		}
	}
	return words
}

// one is the value of a field that may appear once; empty: the field is missing.
func (w wordHeader) one(name string) (string, error) {
	switch values := w[name]; {
	case len(values) > 1:
		return "", fmt.Errorf("header %q is there %d times: send it once", name, len(values))
	case len(values) == 1:
		return strings.TrimSpace(values[0]), nil
	}
	return "", nil
}

// purgeForeign serves PURGE, BAN, URIBAN and PURGEKEYS.
func (h *handler) purgeForeign(w http.ResponseWriter, r *request) error {
	o, err := readForeign(r)
	if err != nil {
		return badRequest(err)
	}
	o.repeats = true
	return h.carryOut(w, r, o)
}

// readForeign reads a call of another cache: the tags in its fields, or else the URL or prefix of its target.
func readForeign(r *request) (order, error) {
	if p := r.target.Path; strings.HasPrefix(p, "/client/v4/") || strings.HasPrefix(p, "/service/") && strings.Contains(p, "/purge") {
		return order{}, errors.New("the path is a call of an API that is made with POST: send POST, or for the URL of a site POST /purge with {\"urls\":[…]}")
	}
	words := wordsOf(r.Header, foreignFields[r.Method])
	o := order{form: r.form}
	if err := readSoftFields(&o, words); err != nil {
		return o, err
	}
	if r.Method == "BAN" {
		done, err := readBan(&o, words)
		if err != nil || done {
			return o, errors.Join(err, restOfTarget(r, &o))
		}
	}
	named, err := readTagFields(&o, words)
	switch {
	case err != nil:
		return o, err
	case named:
		if len(words["x-purge-method"]) > 0 {
			return o, errors.New("X-Purge-Method is about a path, and the call names tags: send one of them")
		}
		return o, restOfTarget(r, &o)
	case r.Method == "PURGEKEYS":
		return o, errors.New("PURGEKEYS names no tags: send them in xkey-purge or xkey-softpurge, separated by spaces")
	case strings.HasPrefix(r.target.Path, "/souin-api/"):
		if o.all = r.target.Path == "/souin-api/souin/flush"; o.all {
			return o, readWords(r.target.Query, &o)
		}
		return o, fmt.Errorf("%q is understood as /souin-api/souin with Surrogate-Key, or as /souin-api/souin/flush alone: %s", shorten(r.target.Path), insteadCall)
	}
	return o, readURL(r, &o, words)
}

// readSoftFields reads the fields that ask for a soft or a hard purge.
func readSoftFields(o *order, words wordHeader) error {
	if len(words["xkey-softpurge"]) > 0 {
		if len(words["xkey-purge"])+len(words["xkey"])+len(words["surrogate-key"]) > 0 {
			return errors.New("xkey-softpurge and another field list tags, for two kinds of purge: send two calls")
		}
		if err := o.saySoft(true); err != nil {
			return err
		}
	}
	word, err := words.one("fastly-soft-purge")
	if err != nil || len(words["fastly-soft-purge"]) == 0 {
		return err
	}
	soft, err := strconv.ParseBool(word)
	if err != nil {
		return fmt.Errorf("Fastly-Soft-Purge is %q: use 1 or 0", shorten(word))
	}
	return o.saySoft(soft)
}

// restOfTarget checks the target of a call whose fields say what to purge: no part of the target may be ignored.
func restOfTarget(r *request, o *order) error {
	if !tagPaths[r.target.Path] {
		return fmt.Errorf("the call names tags or patterns in its fields, and the path %q: send two calls, that of the fields to /", shorten(r.target.Path))
	}
	return readWords(r.target.Query, o)
}

// readWords reads ?soft=&wait= in calls whose query has no other meaning.
func readWords(raw string, o *order) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return fmt.Errorf("parse query: %w", err)
	}
	for name, values := range query {
		if len(values) != 1 {
			return fmt.Errorf("query parameter %q is there %d times: give it once", name, len(values))
		}
		switch name {
		case "soft":
			soft, err := strconv.ParseBool(values[0])
			if err != nil {
				return fmt.Errorf("soft is %q: use 1 or 0", shorten(values[0]))
			}
			if err := o.saySoft(soft); err != nil {
				return err
			}
		case "wait":
			if err := o.sayWait(values[0]); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown query parameter %q: use soft and wait; a '?' in a name is sent as %%3F", shorten(name))
		}
	}
	return nil
}

// readTagFields reads the tags in the fields. named: a field lists tags.
func readTagFields(o *order, words wordHeader) (named bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(words)) {
		if !tagFields[name] {
			continue
		}
		named = true
		for _, value := range words[name] {
			if name == "x-magento-tags-pattern" && strings.TrimSpace(value) == ".*" {
				// The Host of such a call is the address of the cache, not a site.
				o.all = true
				continue
			}
			tags, err := readTagField(name, value)
			if err != nil {
				return true, fmt.Errorf("header %q: %w", name, err)
			}
			if len(tags) == 0 {
				return true, fmt.Errorf("header %q names no tags", name)
			}
			o.tags = append(o.tags, tags...)
		}
	}
	return named, checkTags(o)
}

// readTagField reads the tags of a field.
func readTagField(name, value string) (tags []string, err error) {
	switch {
	case name == "x-magento-tags-pattern":
		tags, err = readMagentoPattern(value)
	case name == "surrogate-key", strings.HasPrefix(name, "xkey"):
		tags, err = readKeys(value)
	default:
		tags, err = readTags(value)
	}
	for _, tag := range tags {
		if strings.ContainsAny(tag, "\";") || strings.IndexByte("[{'", tag[0]) >= 0 {
			return nil, fmt.Errorf("%q is a list in another form: send the tags as they are, separated by spaces; a tag of just this name goes with DELETE /tags/%s",
				shorten(value), shorten(percentEncode(tag)))
		}
	}
	return tags, err
}

// checkTags refuses tags that look like patterns, and more tags than a purge may have.
func checkTags(o *order) error {
	if len(o.tags) > maxMembers {
		return fmt.Errorf("the purge names %d things, %d at most: send several, or purge a prefix or a route", len(o.tags), maxMembers)
	}
	if o.all && len(o.tags) > 0 {
		return errors.New("the call names everything, and tags besides: send one of them")
	}
	for _, tag := range o.tags {
		if err := checkNoPattern(policy.KindTag, tag, tag); err != nil {
			return err
		}
	}
	return nil
}

// tagsOf reads the tags of a list in a body. Empty tags, and tags that no response can carry, are refused.
func tagsOf(list []string) (tags []string, err error) {
	for _, tag := range list {
		if tag == "" || strings.ContainsAny(tag, " \t\r\n") || strings.ContainsRune(tag, utf8.RuneError) {
			return nil, fmt.Errorf("%q is no tag: send each by itself, without spaces", shorten(tag))
		}
		tags = append(tags, withParts(tag)...)
	}
	return tags, nil
}

// readBan reads X-Host, X-Url and X-Content-Type of a BAN. FOSHttpCache sends them with every BAN, with ".*" for no
// condition. done: the fields are there, and no field lists tags.
func readBan(o *order, words wordHeader) (done bool, err error) {
	var says [3]string
	for i, name := range [...]string{"x-host", "x-url", "x-content-type"} {
		says[i], err = words.one(name)
		if err != nil {
			return false, err
		}
		if len(words[name]) > 0 && says[i] == "" {
			return false, fmt.Errorf("header %q is empty: send .* for anything", name)
		}
	}
	hosts, paths, types := says[0], says[1], says[2]
	isAny := func(pattern string) bool { return pattern == "" || pattern == ".*" }
	if !isAny(types) {
		return false, errors.New("a purge by X-Content-Type is not understood: leave it out, or send .*")
	}
	for name := range words {
		if !tagFields[name] {
			continue
		}
		if !isAny(hosts) || !isAny(paths) {
			return false, errors.New("tags are those of every host and path: leave X-Host and X-Url out, or send .*")
		}
		return false, nil
	}
	if hosts == "" && paths == "" && types == "" {
		return false, nil
	}
	o.byHost = true
	names, whole := []string{""}, true
	if !isAny(hosts) {
		if names, whole, err = readHostPattern(hosts); err != nil {
			return false, err
		}
	}
	if isAny(hosts) && isAny(paths) {
		o.all = true
		return true, nil
	}
	target, isPrefix := httpcache.Target{Path: "/"}, true
	if !isAny(paths) {
		if target, isPrefix, err = readPathPattern(paths); err != nil {
			return false, err
		}
	}
	if !whole {
		if target.Path == "/" && isPrefix {
			return false, fmt.Errorf("header \"X-Host\": %q fits every host that has it in its name, and with X-Url everything of these: send the name of the host in full, as ^shop\\.example$", shorten(hosts))
		}
		// A prefix or URL of every host covers more than the pattern does, never less. The named hosts stay in the
		// order for callers with bounds, who are checked for those hosts as well.
		names = append(names, "")
	}
	for _, host := range names {
		target.Host = host
		if isPrefix {
			o.prefixes = append(o.prefixes, target)
		} else {
			o.urls = append(o.urls, target)
		}
	}
	return true, nil
}

// readURL reads the URL or prefix in the target of a call.
func readURL(r *request, o *order, words wordHeader) error {
	method, err := words.one("x-purge-method")
	if err != nil {
		return err
	}
	isPattern, isExact := false, false
	switch strings.ToLower(method) {
	case "":
		if len(words["x-purge-method"]) > 0 {
			return errors.New("X-Purge-Method is empty: send regex, exact or default")
		}
	case "default":
	case "exact":
		isExact = true
	case "regex":
		isPattern = true
	default:
		return fmt.Errorf("X-Purge-Method is %q: send regex, for everything below a path as /path/.*, or exact", shorten(method))
	}
	literal := r.target
	rest, said, unclear := readSoft(literal)
	prefix, isPrefix := prefixOf(rest, r.Method == "BAN")
	isPrefix = isPrefix && !isExact
	switch {
	case r.Method == "BAN" && !isPrefix:
		return errors.New("a BAN says in Cache-Tags, X-Cache-Tags or Surrogate-Key, or in X-Host and X-Url, what is to go, or has a path that ends in /.*: " + insteadCall)
	case isPattern && rest.Path == "/" && !rest.HasQuery:
		prefix, isPrefix = rest, true // every path has a slash
	case isPattern && !isPrefix:
		return fmt.Errorf("%q is a pattern, and of these everything below a path is understood, as /path/.*: %s", shorten(literal.String()), insteadPattern)
	}
	host, err := siteNamed(r)
	if err != nil {
		return err
	}
	o.byHost = true
	literal.Host, rest.Host, prefix.Host = host, host, host
	if isPrefix {
		o.prefixes = []httpcache.Target{prefix}
		err = checkLiteral(prefix, true)
	} else {
		o.urls, err = []httpcache.Target{rest}, unclear
	}
	if said == nil || err != nil {
		return err
	}
	if !isPrefix {
		// The query with soft may be the URL's own. That URL is purged for good as well.
		o.hard = []httpcache.Target{literal}
	}
	return o.saySoft(*said)
}

// readSoft takes the parameter soft out of the query of a URL; said is nil where the parameter is missing.
func readSoft(t httpcache.Target) (rest httpcache.Target, said *bool, err error) {
	var kept []string
	for parameter := range strings.SplitSeq(t.Query, "&") {
		value, ok := strings.CutPrefix(parameter, "soft=")
		soft, failed := strconv.ParseBool(value)
		switch {
		case !ok || failed != nil:
			kept = append(kept, parameter)
		case said != nil:
			return t, nil, errors.New("soft is there several times: give it once")
		default:
			said = &soft
		}
	}
	t.Query = strings.Join(kept, "&")
	if said != nil {
		t.HasQuery = t.Query != ""
	}
	return t, said, checkParameters(t.Path, t.Query)
}
