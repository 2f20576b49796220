package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cacheproxy/invalidation/postgres"

	"github.com/jackc/pgx/v5/pgconn"
)

// silence is the time without a hint after which the server is asked whether it is alive: a connection whose other end
// is gone looks like a connection without traffic.
const silence = 5 * time.Second

// hear listens for NOTIFY cacheproxy until ctx ends, on a connection of its own. A hint only makes the next look come
// sooner. Hints are lost while nobody listens, and none arrive through a pooler that hands out connections by the
// transaction.
func (f *Feed) hear(ctx context.Context) {
	for pause := retryFirst; ctx.Err() == nil; {
		heard, err := f.listen(ctx)
		if heard {
			pause = retryFirst
		}
		if ctx.Err() != nil {
			return
		}
		f.count(hintFailed)
		f.tell(hintFailed, "hints of PostgreSQL are not heard; it is asked every poll all the same", "error", err)
		sleep(ctx, jittered(pause))
		pause = min(2*pause, retryMost)
	}
}

// listen passes hints on until the connection fails. heard reports whether LISTEN succeeded.
func (f *Feed) listen(ctx context.Context) (heard bool, err error) {
	conn, err := connect(ctx, f.config.Load().Source)
	if err != nil {
		return false, err
	}
	defer postgres.HangUp(conn)
	if _, err := conn.Exec(ctx, "listen cacheproxy"); err != nil {
		return false, fmt.Errorf("listen: %w", err)
	}
	for {
		waited, cancel := context.WithTimeout(ctx, silence)
		_, err := conn.WaitForNotification(waited)
		cancel()
		switch {
		case err == nil:
			f.nudge(f.hinted)
			continue
		case ctx.Err() != nil:
			return true, ctx.Err()
		case !pgconn.Timeout(err) && !errors.Is(err, context.DeadlineExceeded):
			return true, fmt.Errorf("wait for a hint: %w", err)
		}
		asked, cancel := context.WithTimeout(ctx, lookTimeout)
		_, err = conn.Exec(asked, "select 1")
		cancel()
		if err != nil {
			return true, fmt.Errorf("ask whether the server is there: %w", err)
		}
	}
}
