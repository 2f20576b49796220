package valkey

import (
	"errors"
	"time"

	"github.com/valkey-io/valkey-go"
)

// Proof is how safe something has to be that was written.
type Proof int

const (
	InMemory  Proof = iota // the server has it
	OnDisk                 // in its append-only file, on disk
	OnReplica              // a replica has it in its memory
)

// proof is what the server says of all that was written before it on a connection.
type proof struct {
	onDisk, replicated bool
	fault              error // with which it refuses to say
}

// asked are the questions for what the calls of a group ask for together. Within a script they would wait for nothing.
func asked(c commander, disk, replica bool, patience time.Duration) (commands []valkey.Completed) {
	if disk {
		commands = append(commands, c.B().Waitaof().Numlocal(1).Numreplicas(0).Timeout(patience.Milliseconds()).Build())
	}
	if replica {
		commands = append(commands, c.B().Wait().Numreplicas(1).Timeout(patience.Milliseconds()).Build())
	}
	return commands
}

// proofOf reads the answers. Its error is one of the connection, after which nothing is known.
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

// of says what is not proved of what was asked for; nil: it is.
func (p proof) of(asked Proof) error {
	switch {
	case asked == OnDisk && !p.onDisk:
		return errors.Join(errors.New("it is not on disk"), p.fault)
	case asked == OnReplica && !p.replicated:
		return errors.Join(errors.New("no replica has it"), p.fault)
	}
	return nil
}

// broken reports whether an error is not what the server has said.
func broken(err error) bool {
	_, said := valkey.IsValkeyErr(err)
	return err != nil && !said
}
