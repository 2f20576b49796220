package docs

import (
	"errors"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// any stands in a session for any number of lines.
const anyLines = "..."

// exchange is a command and what it prints.
type exchange struct {
	line    int // in the block, from 0
	command string
	want    []string
}

// parseSession takes a session apart; the text before the first prompt is nothing that anybody has said.
func parseSession(lines []string) (all []exchange, ok bool) {
	for i, l := range lines {
		if command, prompted := strings.CutPrefix(l, "$ "); prompted {
			all = append(all, exchange{line: i, command: command})
			continue
		}
		if len(all) == 0 {
			return nil, false
		}
		last := &all[len(all)-1]
		last.want = append(last.want, l)
	}
	return all, len(all) > 0
}

// shown is what a terminal shows of a command that has ended.
func shown(out string, err error) []string {
	out = strings.ReplaceAll(out, "\r\n", "\n")
	var lines []string
	if out = strings.TrimRight(out, "\n"); out != "" {
		lines = strings.Split(out, "\n")
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		lines = append(lines, "exit status "+strconv.Itoa(exit.ExitCode()))
	case err != nil:
		lines = append(lines, err.Error())
	}
	return lines
}

// varying is what may differ from run to run and from machine to machine, and what is written in its place.
var varying = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT`), "DATE"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`), "DATE"},
	{regexp.MustCompile(`\b[0-9a-f]{16,}\b`), "ID"},
	{regexp.MustCompile(`\bttl=\d+`), "ttl=SECONDS"},
	{regexp.MustCompile(`^Age: \d+`), "Age: SECONDS"},
	{regexp.MustCompile(`\b127\.0\.0\.1:\d{5}\b`), "ADDRESS"},
	{regexp.MustCompile(`"took_ms":[\d.e-]+`), `"took_ms":MS`},
	{regexp.MustCompile(`\([\d.e-]+ ms\)`), "(MS)"},
	{regexp.MustCompile(`"seq":\d+`), `"seq":N`},
	{regexp.MustCompile(`position \d+`), "position N"},
	{regexp.MustCompile(`"id":"[^"]+-\d+"`), `"id":"ID"`},
	{regexp.MustCompile(`purge \S+-\d+:`), "purge ID:"},
}

// named are lists of instances, of which only the length counts.
var named = regexp.MustCompile(`"(?:acked|reaped)":\[[^\]]*\]|(?:applied by|found dead): .*`)

var name = regexp.MustCompile(`[A-Za-z0-9][A-Za-z0-9._-]*`)

func normal(line string) string {
	line = named.ReplaceAllStringFunc(line, func(list string) string {
		what, names, _ := strings.Cut(list, ":")
		return what + ":" + name.ReplaceAllString(names, "NAME")
	})
	for _, v := range varying {
		line = v.pattern.ReplaceAllString(line, v.instead)
	}
	return strings.TrimRight(line, " ")
}

// matches tells whether what was printed is what is shown.
func matches(want, got []string) bool {
	switch {
	case len(want) == 0:
		return len(got) == 0
	case want[0] == anyLines:
		for i := range len(got) + 1 {
			if matches(want[1:], got[i:]) {
				return true
			}
		}
		return false
	default:
		return len(got) > 0 && normal(want[0]) == normal(got[0]) && matches(want[1:], got[1:])
	}
}
