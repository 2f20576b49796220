package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// lastConfig is where a stage keeps the configuration that its document has shown last.
const lastConfig = "shown.yaml"

// checkBlocks runs the blocks of a document one after another.
func checkBlocks(d *document, s *stage) (findings []string) {
	for _, b := range d.blocks {
		if b.excuse != "" {
			continue
		}
		switch b.language {
		case "yaml":
			findings = append(findings, checkConfig(d, b, s)...)
		case "console":
			findings = append(findings, checkSession(d, b, s)...)
		case "sh":
			findings = append(findings, checkScript(d, b, s)...)
		}
	}
	return findings
}

var (
	ownUpstreams = regexp.MustCompile(`(?m)^upstreams:`)
	routeList    = regexp.MustCompile(`^\s*- name:`)
	fileName     = regexp.MustCompile(`^# ([\w-]+\.yaml)$`)
)

const someUpstreams = "upstreams: [{name: api, url: \"http://" + docAPI + "\"}]\n"

// completeConfig puts in front of a part of a configuration what it takes for given.
func completeConfig(text string) string {
	switch {
	case ownUpstreams.MatchString(text):
		return text
	case routeList.MatchString(text):
		return someUpstreams + "routes:\n" + text
	default:
		return someUpstreams + text
	}
}

func checkConfig(d *document, b block, s *stage) []string {
	text := completeConfig(strings.Join(b.lines, "\n") + "\n")
	if m := fileName.FindStringSubmatch(b.lines[0]); m != nil {
		s.write(m[1], text)
	}
	s.write(lastConfig, text)
	if out, err := s.run("cacheproxy check " + lastConfig); err != nil {
		return []string{d.findingf(b.line, "check does not accept this:\n%s", out)}
	}
	return nil
}

func checkSession(d *document, b block, s *stage) (findings []string) {
	s.write(".curlrc", "silent\nshow-error\n")
	exchanges, ok := parseSession(b.lines)
	if !ok {
		return []string{d.findingf(b.line, "a session begins with $ and a command")}
	}
	for _, e := range exchanges {
		got, ok, err := s.settles(e)
		if err != nil {
			return append(findings, d.findingf(b.line+1+e.line, "%s: %v", e.command, err))
		}
		if !ok {
			findings = append(findings, d.findingf(b.line+1+e.line, "%s\nshown:\n%s\nprinted:\n%s", e.command, strings.Join(e.want, "\n"), strings.Join(got, "\n")))
		}
	}
	return findings
}

// exchange runs a command of a session. One that serves goes on, and later commands talk to it.
func (s *stage) exchange(command string) ([]string, error) {
	var recipe []string
	if strings.HasPrefix(command, "make ") {
		// make prints what it runs.
		out, err := makeRecipe(command)
		if err != nil {
			return nil, err
		}
		recipe = shown(out, nil)
		command = strings.Replace(recipe[len(recipe)-1], "go run ./cmd/cacheproxy", "cacheproxy", 1)
	}
	if arguments, ok := strings.CutPrefix(command, "go run "+firstHour+" "); ok {
		return s.firstHour(arguments)
	}
	command, s.copyTo, _ = strings.Cut(command, " 2>&1 | tee ")
	words := strings.Fields(command)
	if len(words) > 1 && words[0] == "cacheproxy" && (words[1] == "serve" || words[1] == "demo") {
		for i := range words {
			words[i] = s.real(words[i])
		}
		out, err := s.launch(words[1:]...)
		return append(recipe, shown(out, nil)...), err
	}
	if err := s.ready(); err != nil {
		return nil, err
	}
	return append(recipe, shown(s.run(command))...), nil
}

// settles tells whether what a command prints comes to be what is shown: an exchange is counted, and has its line, a moment after its
// client has the answer.
func (s *stage) settles(e exchange) (got []string, ok bool, err error) {
	for end := time.Now().Add(5 * time.Second); ; {
		if got, err = s.exchange(e.command); err != nil || matches(e.want, got) {
			return got, err == nil, err
		}
		if !looks.MatchString(e.command) || time.Now().After(end) {
			return got, false, nil
		}
	}
}

// looks are commands that change nothing.
var looks = regexp.MustCompile(`/metrics|^grep `)

// makeRecipe is what make would run.
func makeRecipe(command string) (string, error) {
	cmd := exec.Command("/bin/sh", "-c", strings.Replace(command, "make ", "make -n --no-print-directory ", 1))
	cmd.Dir, cmd.Env = root, withoutMake(os.Environ())
	out, err := output(cmd)
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return out, nil
}

// withoutMake leaves out what a make above this test tells the makes below it.
func withoutMake(environment []string) (kept []string) {
	for _, v := range environment {
		if !strings.HasPrefix(v, "MAKE") && !strings.HasPrefix(v, "MFLAGS=") {
			kept = append(kept, v)
		}
	}
	return kept
}

var elsewhere = regexp.MustCompile(`^(make|go) `)

// checkScript runs the commands of a block, which must end well. Those of make are looked up, and those of go were looked
// through with all that the document names.
func checkScript(d *document, b block, s *stage) (findings []string) {
	s.write(".curlrc", "silent\nshow-error\nfail\n")
	var script []string
	for i, line := range b.lines {
		command, _, _ := strings.Cut(line, " #")
		command = strings.TrimSpace(command)
		switch {
		case strings.HasPrefix(command, "make "):
			if _, err := makeRecipe(command); err != nil {
				findings = append(findings, d.findingf(b.line+1+i, "%v", err))
			}
		case !elsewhere.MatchString(command):
			script = append(script, line)
		}
	}
	if strings.TrimSpace(strings.Join(script, "")) == "" {
		return findings
	}
	if err := s.ready(); err != nil {
		return append(findings, d.findingf(b.line, "%v", err))
	}
	if _, err := os.Stat(filepath.Join(s.dir, "cacheproxy.yaml")); os.IsNotExist(err) {
		s.write("cacheproxy.yaml", runbookConfig)
	}
	if out, err := s.run("set -eux\n" + strings.Join(script, "\n")); err != nil {
		findings = append(findings, d.findingf(b.line, "%v:\n%s", err, out))
	}
	return findings
}
