package config

import (
	"regexp"
	"slices"
	"strings"
)

// commandVariables are the environment variables of the commands that call a running proxy.
var commandVariables = []string{"CACHEPROXY_ADMIN", "CACHEPROXY_ADMIN_TOKEN"}

// serviceLink matches variables that Kubernetes sets in every container beside a service whose name begins with
// "cacheproxy" (enableServiceLinks).
var serviceLink = regexp.MustCompile(`_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// unknownVariables refuses environment variables that look like overrides and override no key: operators would believe
// that such a variable has an effect. Variables that the file fills in with ${NAME} are the file's own and are allowed.
func (d *decoder) unknownVariables(environ []string, doc *part) {
	known := append(overridable(doc), commandVariables...)
	var suffixes []string
	for _, name := range known {
		suffixes = append(suffixes, strings.TrimPrefix(name, "CACHEPROXY_"))
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "CACHEPROXY_") || value == "" || slices.Contains(known, name) || d.files.filled[name] || serviceLink.MatchString(name) {
			continue
		}
		hint := "unset it, or fill it into the file with ${" + name + "}"
		if near := nearest(strings.TrimPrefix(name, "CACHEPROXY_"), suffixes); near != "" {
			near = "CACHEPROXY_" + near
			hint = "did you mean " + near + "?"
		}
		d.problems = append(d.problems, problem{Source: "environment " + name, Text: "overrides no key: " + hint})
	}
}

// overridable lists the variables of all keys of a part, and of the sections in the part.
func overridable(p *part) (names []string) {
	for _, k := range p.keys {
		switch k.is.shape {
		case mapping:
			names = append(names, overridable(p.parts[k.name])...)
		case single:
			names = append(names, environmentName(p.at(k.name)))
		}
	}
	return names
}
