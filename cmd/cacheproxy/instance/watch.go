package instance

import (
	"context"
	"os"
	"time"
)

const (
	// lookEvery is how often the files of the configuration are compared with what was read. Comparing needs no help of the file
	// system: a link on the way, a mounted volume and a folder that is replaced show like any other change.
	lookEvery = time.Second
	// settleTime is what a change has to come to its end: editors and volume managers make one in several steps, a certificate
	// and its key are two files.
	settleTime = 100 * time.Millisecond
	// retryEvery is the pause between tries to put a valid configuration in force.
	retryEvery = 5 * time.Second
	// byRetry is what asks for a reload then.
	byRetry = "retry"
)

// follow reloads the configuration when one of its files has changed, a signal asks for it, or a valid one could not be put in force, until
// ctx ends.
func (i *Instance) follow(ctx context.Context, hangup <-chan os.Signal) error {
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	for settled := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			_, _ = i.reload(ctx, "SIGHUP") // it has told the log
		case <-look.C:
			next := lookEvery
			switch changed := i.generations.watched().Changed(); {
			case changed && settled:
				_, _ = i.reload(ctx, "file change") // it has told the log
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
