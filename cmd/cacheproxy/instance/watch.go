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
	// retryEvery is the pause between tries to put a valid configuration in force.
	retryEvery = 5 * time.Second
	// byRetry names these tries as the cause of a reload.
	byRetry = "retry"
)

// follow reloads the configuration after a change of its files, after a signal, and while a valid one could not be put
// in force, until ctx ends.
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
				if i.generations.retries(time.Now()) {
					_, _ = i.reload(ctx, byRetry) // it has told the log
				}
			}
			look.Reset(next)
		}
	}
}
