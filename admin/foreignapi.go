package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// The calls by which scripts purge at services. The ids of a service or a zone in their paths mean nothing here.

// fastlyFields are the fields that calls in Fastly's form may have.
var fastlyFields = wordSet(`surrogate-key fastly-soft-purge fastly-key`)

// findForeignAPI finds the calls of services by their paths.
func (h *handler) findForeignAPI(r *request) (c call, found bool, err error) {
	path := r.target.Path
	c = call{scope: ScopePurge, methods: []string{http.MethodPost}, purges: true}
	switch {
	case strings.HasPrefix(path, "/service/"):
		r.form, c.fields = formFastly, fastlyFields
		service, rest, _ := strings.Cut(path[len("/service/"):], "/")
		switch key, isKey := strings.CutPrefix(rest, "purge/"); {
		case service == "":
			return c, false, nil
		case rest == "purge":
			c.serve = h.fastlyKeys
		case rest == "purge_all":
			c.serve = h.fastlyAll
		case isKey:
			c.serve = h.fastlyKey
			r.name, err = unescape(key)
		default:
			return c, false, nil
		}
	case strings.HasPrefix(path, "/client/v4/zones/"):
		zone, rest, _ := strings.Cut(path[len("/client/v4/zones/"):], "/")
		if zone == "" || rest != "purge_cache" {
			return c, false, nil
		}
		r.form, c.serve = formCloudflare, h.cloudflare
	default:
		return c, false, nil
	}
	return c, true, err
}

// fastlyOrder reads the common parts of calls in Fastly's form.
func fastlyOrder(r *request) (o order, words wordHeader, err error) {
	words = wordsOf(r.Header, fastlyFields)
	o.form, o.repeats = r.form, true
	if err = readSoftFields(&o, words); err == nil {
		err = readWords(r.target.Query, &o)
	}
	return o, words, noWait(o, err)
}

// noWait refuses a purge that would be answered before it holds, for answers that cannot say so.
func noWait(o order, err error) error {
	if err == nil && o.wait != waits[waitAll] {
		err = errors.New("wait goes with POST /purge and DELETE: leave it out")
	}
	return err
}

// fastlyAll serves POST /service/{id}/purge_all.
func (h *handler) fastlyAll(w http.ResponseWriter, r *request) error {
	o, words, err := fastlyOrder(r)
	switch {
	case err != nil:
	case len(words["surrogate-key"]) > 0:
		err = errors.New("purge_all takes no Surrogate-Key: leave it out, or send it to …/purge")
	default:
		err = noBody(r.body)
	}
	if err != nil {
		return badRequest(err)
	}
	o.all = true
	return h.carryOut(w, r, o)
}

// fastlyKey serves POST /service/{id}/purge/{key}.
func (h *handler) fastlyKey(w http.ResponseWriter, r *request) error {
	o, words, err := fastlyOrder(r)
	switch {
	case err != nil:
	case len(words["surrogate-key"]) > 0:
		err = errors.New("the path names a key, and Surrogate-Key others: send one of them")
	default:
		if err = noBody(r.body); err == nil {
			err = checkName(policy.KindTag, strings.TrimPrefix(r.target.Path, "/"), r.name)
		}
	}
	if err != nil {
		return badRequest(err)
	}
	o.tags = []string{r.name}
	return h.carryOut(w, r, o)
}

// fastlyKeys serves POST /service/{id}/purge, with the keys in Surrogate-Key or in the body.
func (h *handler) fastlyKeys(w http.ResponseWriter, r *request) error {
	o, words, err := fastlyOrder(r)
	if err != nil {
		return badRequest(err)
	}
	named, err := readTagFields(&o, words)
	if err == nil && len(r.body) > 0 && noBody(r.body) != nil {
		var keys []string
		if err = readObject(r.body, map[string]any{"surrogate_keys": &keys}); err == nil {
			keys, err = tagsOf(keys)
			o.tags = append(o.tags, keys...)
			named = named || len(keys) > 0
		}
	}
	switch {
	case err != nil:
	case !named:
		err = errors.New(`the call names no keys: send them in Surrogate-Key, or as {"surrogate_keys":["…"]}`)
	default:
		err = checkTags(&o)
	}
	if err != nil {
		return badRequest(err)
	}
	o.form = formFastlyKeys
	return h.carryOut(w, r, o)
}

// noBody refuses content in calls that take none. An empty object counts as no content.
func noBody(body []byte) error {
	if text := strings.TrimSpace(string(body)); text != "" && text != "{}" {
		return errors.New("this call takes no body")
	}
	return nil
}

// cloudflare serves POST /client/v4/zones/{zone}/purge_cache.
func (h *handler) cloudflare(w http.ResponseWriter, r *request) error {
	o, err := readCloudflare(r.body)
	if err == nil {
		err = readWords(r.target.Query, &o)
	}
	if err = noWait(o, err); err != nil {
		return badRequest(err)
	}
	return h.carryOut(w, r, o)
}

func readCloudflare(body []byte) (order, error) {
	o := order{form: formCloudflare, repeats: true}
	var files, tags, prefixes, hosts json.RawMessage
	if err := readObject(body, map[string]any{
		"files": &files, "tags": &tags, "prefixes": &prefixes, "hosts": &hosts, "purge_everything": &o.all,
	}); err != nil {
		return o, err
	}
	urls, err := readFiles(files)
	if err != nil {
		return o, err
	}
	var names [3][]string
	for i, list := range [...]struct {
		name string
		raw  json.RawMessage
	}{{"tags", tags}, {"prefixes", prefixes}, {"hosts", hosts}} {
		if list.raw == nil {
			continue
		}
		if err := json.Unmarshal(list.raw, &names[i]); err != nil {
			return o, fmt.Errorf("field %q is %s: write %s", list.name, shorten(string(list.raw)), example(&names[i]))
		}
	}
	count := len(urls) + len(names[0]) + len(names[1]) + len(names[2])
	switch {
	case count > maxMembers:
		return o, fmt.Errorf("the purge names %d things, %d at most: send several", count, maxMembers)
	case o.all && count > 0:
		return o, errors.New("the call names everything, and more besides: send one of them")
	case !o.all && count == 0:
		return o, errors.New("the purge names nothing: give files, tags, prefixes, hosts, or purge_everything")
	}
	if o.tags, err = tagsOf(names[0]); err == nil {
		err = checkTags(&o)
	}
	if err != nil {
		return o, err
	}
	for _, raw := range urls {
		target, err := splitTarget(raw)
		if err != nil {
			return o, err
		}
		if target.Host == "" {
			return o, fmt.Errorf("file %q has no host: give the URL in full", shorten(raw))
		}
		o.urls = append(o.urls, target)
	}
	for _, raw := range names[1] {
		if !strings.Contains(raw, "://") {
			raw = "http://" + raw
		}
		target, err := splitPrefix(raw)
		if err != nil {
			return o, err
		}
		o.prefixes = append(o.prefixes, target)
	}
	for _, host := range names[2] {
		if !plainHost.MatchString(host) {
			return o, fmt.Errorf("%q is not the name of a host", shorten(host))
		}
		o.prefixes = append(o.prefixes, httpcache.Target{Host: strings.ToLower(host), Path: "/"})
	}
	return o, nil
}

// readFiles reads URLs, either as texts or as {"url":…}. Other fields would choose a variant and are refused: a purge
// covers every variant.
func readFiles(raw json.RawMessage) (urls []string, err error) {
	if raw == nil {
		return nil, nil
	}
	var files []json.RawMessage
	if err := json.Unmarshal(raw, &files); err != nil {
		return nil, fmt.Errorf(`field "files" is %s: write a list of URLs`, shorten(string(raw)))
	}
	for _, file := range files {
		var text string
		if json.Unmarshal(file, &text) != nil {
			if err := readObject(file, map[string]any{"url": &text}); err != nil {
				return nil, fmt.Errorf(`field "files" has %s, and a URL or {"url":"…"} is understood: %w`, shorten(string(file)), err)
			}
		}
		if text == "" {
			return nil, errors.New(`field "files" has an empty URL`)
		}
		urls = append(urls, text)
	}
	return urls, nil
}
