package instance

import (
	"context"
	"os"
	"time"
)

const (
	// lookEvery is the time between comparisons of the configuration's files with their content when read. Comparing
	// works without notifications of the file system: symbolic links, mounted volumes and replaced folders are no
	// special cases.
	lookEvery = time.Second
	// settleTime is how long a change may take: editors and volume managers change files in several steps, and a
	// certificate and its key are two files.
	settleTime = 100 * time.Millisecond
)

// follow reloads the configuration after a change of its files or a signal, until ctx ends.
func (i *Instance) follow(ctx context.Context, hangup <-chan os.Signal) error {
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	for settled := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			_, _ = i.reload(ctx, "SIGHUP") // reload has logged the error
		case <-look.C:
			next := lookEvery
			switch changed := i.generations.watched().Changed(); {
			case changed && settled:
				_, _ = i.reload(ctx, "file change") // reload has logged the error
				settled = false
			case changed:
				settled, next = true, settleTime
			default:
				settled = false
			}
			look.Reset(next)
		}
	}
}
