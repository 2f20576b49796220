package config

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Change is one key whose value differs between two snapshots.
type Change struct {
	Path    string // such as routes[product].ttl, with the name of the route, upstream or token in brackets
	what    string // added, removed or changed; a route, upstream or token is added or removed as a whole
	Restart bool   // the change takes effect only when the process starts again
}

// String is the text of the change for operators.
func (c Change) String() string { return c.Path + " " + c.what }

// RestartKeys lists the keys that need a restart to take effect, as texts for operators.
func RestartKeys() []string {
	var keys []string
	top.walk("", afterReload, func(path string, k *key, _ effect) {
		switch k.takes {
		case atStart:
			keys = append(keys, path)
			if but := k.is.keys.reloading(path); len(but) > 0 {
				keys[len(keys)-1] += " but " + strings.Join(but, " and ")
			}
		case switched:
			keys = append(keys, path+" on or off")
		}
	})
	return keys
}

// reloading lists the keys that a reload changes in a section that needs a restart.
func (s section) reloading(path string) (paths []string) {
	s.walk(path, atStart, func(path string, k *key, _ effect) {
		if k.takes == afterReload {
			paths = append(paths, path)
		}
	})
	return paths
}

// settings are the values of a document by path. Their texts are only for comparison, never to be shown: settings hold
// secrets.
type settings map[string]string

// Changes lists the differences between s and an earlier snapshot, by path. The content of a file counts as the value
// of the key that names the file.
func (s *Snapshot) Changes(before *Snapshot) []Change {
	var list []Change
	ours, theirs := settingsOf(s.doc), settingsOf(before.doc)
	all := maps.Clone(ours)
	maps.Copy(all, theirs)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		now, is := ours[path]
		was, existed := theirs[path]
		if is && existed && now == was {
			continue
		}
		c := Change{Path: strings.TrimSuffix(path, inFile), what: "changed"}
		if name := path[:strings.LastIndexByte(path, ']')+1]; name != "" && is != existed { // an entry of a list
			_, sectionIs := ours[name]
			_, sectionWas := theirs[name]
			if sectionIs != sectionWas {
				c.Path = name
				if c.what = "added"; sectionWas {
					c.what = "removed"
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

// inFile is appended to the path of a key that names a file, in the setting for the file's content.
const inFile = " in file"

// needsRestart reports whether a change at the path waits for a restart. The keys of a section that was switched on or
// off wait with the section, which all has as a change of its own.
func needsRestart(path string, all []Change) (restart bool) {
	path = inBrackets.ReplaceAllString(path, "")
	top.walk("", afterReload, func(at string, k *key, takes effect) {
		switch {
		case at == path:
			restart = restart || takes == atStart || takes == switched
		case k.takes == switched && strings.HasPrefix(path, at+"."):
			restart = slices.ContainsFunc(all, func(c Change) bool { return c.Path == at })
		}
	})
	return restart
}

// inBrackets matches the part of a path that names an entry of a list.
var inBrackets = regexp.MustCompile(`\[[^]]*\]`)

// note adds the values of a section to the settings. A key that is not written counts as its default. Writing a default
// down is therefore no change, and neither is a default that comes or goes with the policy.
func (s settings) note(p *part, path string) {
	for i := range p.keys {
		k := &p.keys[i]
		at := join(path, k.name)
		switch k.is.shape {
		case mapping:
			s.note(p.parts[k.name], at)
		case mappings:
			for _, entry := range p.lists[k.name] {
				named := fmt.Sprintf("%s[%s]", at, entry.text(entry.keys[0].name)) // names come first, and are checked to be unique
				s[named] = ""
				s.note(entry, named)
			}
		default:
			value, written := p.values[k.name]
			if !written {
				value = k.otherwise()
			}
			s[at] = fmt.Sprintf("%#v", value) // fmt sorts maps
		}
		if content, read := p.content[k.name]; read {
			s[at+inFile] = fmt.Sprintf("%x", content)
		}
	}
}

// settingsOf returns the settings of a valid document.
func settingsOf(doc *part) settings {
	s := settings{}
	s.note(doc, "")
	for _, tls := range []*part{doc.Part("tls"), doc.Part("admin").Part("tls")} {
		if tls.text("cert") != "" {
			s[tls.path] = "on"
		}
	}
	if doc.Part("postgres").written() {
		s["postgres"] = "on"
	}
	// Requests that match no route go to the first upstream. The order of upstreams means nothing else.
	s["upstreams"] = doc.sections("upstreams")[0].text("name")
	return s
}
