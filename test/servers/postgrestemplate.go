package servers

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// What initdb makes is the same each time but for two things, and it takes longer than all else that a server's start needs. So it runs once
// for each version, and what it made is copied, from the folder of the user's caches, where it stays for later runs of tests. All servers
// of a version then have one password and one system identifier.

// template is a cluster that was never started.
type template struct{ data, password string }

// newCluster makes the cluster of a server in a folder that is not there yet, and returns the superuser's password.
func newCluster(ctx context.Context, initdb, data string, credential *syscall.Credential) (password string, err error) {
	if t, err := templateOf(ctx, initdb, credential); err == nil {
		return t.password, copyTree(t.data, data, credential)
	}
	// Nothing can be kept: this needs no folder of caches, and tells what is wrong with initdb.
	password = rand.Text()
	return password, initPostgres(ctx, initdb, filepath.Dir(data), data, password, credential)
}

// templateOf finds the template of a version of PostgreSQL, or makes it.
func templateOf(ctx context.Context, initdb string, credential *syscall.Credential) (t template, err error) {
	caches, err := os.UserCacheDir()
	if err != nil {
		return t, fmt.Errorf("find folder of caches: %w", err)
	}
	version, err := exec.CommandContext(ctx, initdb, "--version").Output()
	if err != nil {
		return t, fmt.Errorf("ask initdb for its version: %w", err)
	}
	sum := sha256.Sum256([]byte(initdb + "\n" + string(version) + strings.Join(initdbArgs, "\n")))
	parent := filepath.Join(caches, "cacheproxy-tests")
	kept := filepath.Join(parent, fmt.Sprintf("postgres-%x", sum[:8]))
	if t, err := readTemplate(kept); err == nil {
		return t, nil
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return t, fmt.Errorf("make folder of caches: %w", err)
	}
	// It is whole when it gets its name; of two that are made at once, one stays.
	made, err := os.MkdirTemp(parent, "making-")
	if err != nil {
		return t, fmt.Errorf("make folder of a PostgreSQL cluster: %w", err)
	}
	defer os.RemoveAll(made) //nolint:errcheck // it has its name by then, or is not needed
	if err := makeTemplate(ctx, initdb, made, credential); err != nil {
		return t, err
	}
	if err := os.Rename(made, kept); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return t, fmt.Errorf("keep PostgreSQL cluster: %w", err)
	}
	return readTemplate(kept)
}

func readTemplate(folder string) (template, error) {
	password, err := os.ReadFile(filepath.Join(folder, "password"))
	if err != nil {
		return template{}, fmt.Errorf("read password of a kept PostgreSQL cluster: %w", err)
	}
	return template{data: filepath.Join(folder, "data"), password: string(password)}, nil
}

// makeTemplate makes a cluster where initdb's user may write, and copies it into a folder.
func makeTemplate(ctx context.Context, initdb, folder string, credential *syscall.Credential) error {
	dir, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		return fmt.Errorf("make folder for PostgreSQL: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left is in the system's folder for what is not needed
	if err := own(dir, credential); err != nil {
		return err
	}
	data, password := filepath.Join(dir, "data"), rand.Text()
	if err := initPostgres(ctx, initdb, dir, data, password, credential); err != nil {
		return err
	}
	if err := copyTree(data, filepath.Join(folder, "data"), nil); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "password"), []byte(password), 0o600); err != nil {
		return fmt.Errorf("keep password of PostgreSQL: %w", err)
	}
	return nil
}

// copyTree copies the folders and files below one folder into a new one, which alone the owner may enter.
func copyTree(from, to string, owner *syscall.Credential) error {
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rest)
		if entry.IsDir() {
			err = os.Mkdir(target, 0o700)
		} else {
			err = copyFile(path, target)
		}
		if err != nil {
			return err
		}
		return own(target, owner)
	})
	if err != nil {
		return fmt.Errorf("copy PostgreSQL cluster: %w", err)
	}
	return nil
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close() //nolint:errcheck // it was read only
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// initdbArgs are what a cluster is made with, beside its folder and the superuser's password.
var initdbArgs = []string{
	"--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
}

// initPostgres creates a cluster. The superuser has a password because every user of the machine can reach the port.
func initPostgres(ctx context.Context, initdb, dir, data, password string, credential *syscall.Credential) error {
	passwordFile := filepath.Join(dir, "password")
	if err := os.WriteFile(passwordFile, []byte(password+"\n"), 0o600); err != nil {
		return fmt.Errorf("write password of PostgreSQL: %w", err)
	}
	if err := own(passwordFile, credential); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, initdb, append([]string{"--pgdata", data, "--pwfile", passwordFile}, initdbArgs...)...)
	cmd.Dir = dir
	cmd.SysProcAttr = childAttributes(credential)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("create PostgreSQL cluster in %s: %w; initdb said:\n%s", data, err, out.String())
	}
	return nil
}
