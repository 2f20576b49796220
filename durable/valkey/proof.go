package valkey

import (
	"errors"
	"time"

	"github.com/valkey-io/valkey-go"
)

// Proof is how safe a write has to be before its call is answered.
type Proof int

const (
	InMemory  Proof = iota // the server has the write in its memory
	OnDisk                 // the write is in the server's append-only file, on disk
	OnReplica              // a replica has the write in its memory
)

// proof is the server's statement about all writes before it on a connection.
type proof struct {
	onDisk, replicated bool
	fault              error // the server's error, if it refuses to answer
}

// asked returns the commands that ask for the proofs that a group's calls need together. They are no part of the
// scripts, since within a script the commands would not wait.
func asked(c commander, disk, replica bool, patience time.Duration) (commands []valkey.Completed) {
	if disk {
		commands = append(commands, c.B().Waitaof().Numlocal(1).Numreplicas(0).Timeout(patience.Milliseconds()).Build())
	}
	if replica {
		commands = append(commands, c.B().Wait().Numreplicas(1).Timeout(patience.Milliseconds()).Build())
	}
	return commands
}

// proofOf reads the server's answers. An error is an error of the connection, after which nothing is known.
func proofOf(results []valkey.ValkeyResult, disk, replica bool) (p proof, err error) {
	if disk {
		counts, failed := results[0].AsIntSlice()
		if broken(failed) {
			return p, failed
		}
		p.onDisk, p.fault = failed == nil && len(counts) == 2 && counts[0] >= 1, failed
		results = results[1:]
	}
	if replica {
		n, failed := results[0].AsInt64()
		if broken(failed) {
			return p, failed
		}
		p.replicated, p.fault = failed == nil && n >= 1, errors.Join(p.fault, failed)
	}
	return p, nil
}

// of returns which proof is missing; nil: p proves what was asked for.
func (p proof) of(asked Proof) error {
	switch {
	case asked == OnDisk && !p.onDisk:
		return errors.Join(errors.New("it is not on disk"), p.fault)
	case asked == OnReplica && !p.replicated:
		return errors.Join(errors.New("no replica has it"), p.fault)
	}
	return nil
}

// broken reports whether an error did not come from the server as a reply, but from the connection or the client.
func broken(err error) bool {
	_, said := valkey.IsValkeyErr(err)
	return err != nil && !said
}
