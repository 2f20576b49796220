package docs

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"cacheproxy/test/servers"
)

// firstHour is the API, and its clients, of the document on the first hour.
const firstHour = "./test/firsthour"

var buildFirstHour = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "firsthour")
	build := exec.Command("go", "build", "-o", path, firstHour)
	build.Dir = root
	if out, err := output(build); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", firstHour, err, out)
	}
	return path, nil
})

var apiAddress = regexp.MustCompile(`the API is on http://(\S+)`)

// firstHour runs the API, which goes on, or its clients to their end.
func (s *stage) firstHour(arguments string) ([]string, error) {
	path, err := buildFirstHour()
	if err != nil {
		return nil, err
	}
	if arguments != "api" {
		return shown(s.run(path + " " + arguments + " --api " + docAPI + " --proxy " + docData)), nil
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	said, err := s.start(ctx, servers.Command{Path: path, Args: []string{"api", "--api", "127.0.0.1:0"}, Dir: s.dir, Ready: "the API is on"})
	if err != nil {
		return nil, err
	}
	at := apiAddress.FindStringSubmatch(said)
	if at == nil {
		return nil, fmt.Errorf("the API does not say where it is:\n%s", said)
	}
	s.more = []string{docAPI, at[1]}
	return shown(strings.TrimSpace(s.documented(said)), nil), nil
}
