package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Change is one key whose value is not what it was.
type Change struct {
	Path    string // such as routes[product].ttl, with the name of a route, an upstream or a token
	What    string // added, removed or changed; routes, upstreams and tokens are added and removed as a whole
	Restart bool   // it takes effect only when the process starts again
}

// String is the change as an operator reads it.
func (c Change) String() string { return c.Path + " " + c.What }

// restart is a key that is heeded only at the start. A section stands for everything in it.
type restart struct {
	path     string
	except   []string // keys in it that a reload changes
	switched bool     // only its being there or not; what is in it changes with a reload
}

var restarts = []restart{
	// Sockets are open, and with them what they speak is settled.
	{path: "listen"},
	{path: "reuse_port"},
	{path: "tls", switched: true},
	{path: "h2c"},
	{path: "admin.listen"},
	{path: "admin.tls", switched: true},
	// Connections that are open keep the timeouts they began with, and a lower number could not be kept to.
	{path: "limits", except: []string{"limits.max_body"}},
	// Lines of two forms in one stream cannot be parsed.
	{path: "log.format"},
	// Spans under way belong to the exporter that runs.
	{path: "tracing"},
	// The fleet that this instance has joined goes by it. Connections that are made anew show the certificate of then.
	{path: "valkey", except: []string{"valkey.tls.cert", "valkey.tls.key"}},
}

// String is the key as an operator reads it.
func (r restart) String() string {
	switch {
	case r.switched:
		return r.path + " on or off"
	case len(r.except) > 0:
		return r.path + " but " + strings.Join(r.except, " and ")
	}
	return r.path
}

// RestartKeys lists the keys that need a restart to take effect.
func RestartKeys() []string {
	keys := make([]string, len(restarts))
	for i, r := range restarts {
		keys[i] = r.String()
	}
	return keys
}

// Keys lists the keys at the top of a configuration.
func Keys() []string { return keysOf(reflect.TypeFor[document]()) }

// settings are the values of a document by path, as texts to be compared, never to be shown: they hold secrets.
type settings map[string]string

// Changes lists what differs in s from an earlier snapshot, by path. The content of a file counts as the value of the key
// that names it.
func (s *Snapshot) Changes(before *Snapshot) []Change {
	var list []Change
	for _, path := range slices.Sorted(maps.Keys(union(s.settings, before.settings))) {
		now, is := s.settings[path]
		was, existed := before.settings[path]
		if is && existed && now == was {
			continue
		}
		c := Change{Path: shownPath(path), What: "changed"}
		if name, listed := element(path); listed && is != existed {
			_, sectionIs := s.settings[name]
			_, sectionWas := before.settings[name]
			if sectionIs != sectionWas {
				c.Path = name
				if c.What = "added"; sectionWas {
					c.What = "removed"
				}
			}
		}
		if !slices.ContainsFunc(list, func(o Change) bool { return o.Path == c.Path }) {
			list = append(list, c)
		}
	}
	for i := range list {
		list[i].Restart = needsRestart(list[i].Path, list)
	}
	slices.SortStableFunc(list, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

func union(a, b settings) settings {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// shownPath takes away what tells the content of a file from its path.
func shownPath(path string) string { return strings.TrimSuffix(path, inFile) }

// inFile follows the path of a key whose value names a file, in the setting of the file's content.
const inFile = " in file"

// element is the named entry of a list that a path leads into.
func element(path string) (string, bool) {
	i := strings.LastIndexByte(path, ']')
	if i < 0 {
		return "", false
	}
	return path[:i+1], true
}

func needsRestart(path string, all []Change) bool {
	return slices.ContainsFunc(restarts, func(r restart) bool {
		switch {
		case path == r.path:
			return true
		case !strings.HasPrefix(path, r.path+".") || slices.Contains(r.except, path):
			return false
		case r.switched: // everything in a section that was switched on or off goes with it
			return slices.ContainsFunc(all, func(c Change) bool { return c.Path == r.path })
		}
		return true
	})
}

// note takes the values of a section into the settings.
func (s settings) note(v reflect.Value, path string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch field, name := v.Field(i), join(path, f.Tag.Get("key")); {
		case f.Anonymous:
			s.note(field, path)
		case isSection(f.Type):
			s.note(field, name)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			s.noteList(field, name)
		default:
			s[name] = fmt.Sprintf("%#v", field) // fmt reads what reflection may not, and sorts maps
		}
	}
}

// noteList takes in a list of named sections. The name is enough to tell them apart: it is checked to be unique.
func (s settings) noteList(list reflect.Value, path string) {
	for i := range list.Len() {
		name, _ := fieldOf(list.Index(i), "name")
		at := fmt.Sprintf("%s[%s]", path, name)
		s[at] = ""
		s.note(list.Index(i), at)
	}
}

// noteDocument takes in all of a valid document.
func (l *loader) noteDocument(doc *document) {
	s := l.settings
	placed := maps.Clone(s) // what files held was noted under places, before names were known to be unique
	clear(s)
	for path, content := range placed {
		for i, u := range doc.Upstreams {
			if key, ok := strings.CutPrefix(path, index("upstreams", i)+"."); ok {
				path = "upstreams[" + u.Name + "]." + key
				break
			}
		}
		s[path] = content
	}
	s.note(reflect.ValueOf(doc).Elem(), "")
	for path, t := range map[string]tlsDoc{"tls": doc.TLS, "admin.tls": doc.Admin.TLS} {
		if t.Cert != "" {
			s[path] = "on"
		}
	}
	// What matches no route goes to the first upstream; otherwise order means nothing.
	if len(doc.Upstreams) > 0 {
		s["upstreams"] = doc.Upstreams[0].Name
	}
}
