package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/leaderboard"

	"github.com/jackc/pgx/v5"
)

const (
	// lookEvery is how often it is asked whether records are empty, since nobody can read them then. passEvery is how often what is owed
	// is taken, and checkEvery how often boards to which nothing comes are asked whether they went back.
	lookEvery, passEvery, checkEvery = time.Second, 5 * time.Second, 30 * time.Second
	// sparing is how many times as long as a pass has taken it is at least until the next one.
	sparing = 4
	// retryMost is the longest pause after a failure; the first is lookEvery.
	retryMost = 5 * time.Second
	// tellEvery is how often a failure that lasts is told of.
	tellEvery = time.Minute
	// mostConnections is how many transactions of an instance are under way at once: a bucket that is slow holds up no other, and the database is
	// not asked for more.
	mostConnections = 4
	// statementTimeout bounds the transaction of one bucket, or of one page of lines, and loadTimeout that of reading a window back.
	statementTimeout, loadTimeout = time.Minute, 30 * time.Minute
)

// Route is what is archived of one route's boards.
type Route struct {
	Rules     *leaderboard.Rules
	Retention time.Duration // of what the archive has; zero: it stays. What the window needs stays longer, and so does all of an all-time board but submissions
}

// Config is what a reload may change.
type Config struct {
	// Source says where the database is. It is asked for each connection, and must be safe for concurrent use.
	Source func() (*pgx.ConnConfig, error)
	Routes []Route
}

// Options is what an Archiver works with. All are required.
type Options struct {
	Config  Config
	Records leaderboard.Source
	Log     *slog.Logger
}

// State is how the archive of one route stands with this instance.
type State struct {
	Route       string
	Age         time.Duration // for how long something may be in the records alone
	Owed        int           // closed buckets that wait
	Buckets     uint64        // closed ones that this instance has archived
	Members     uint64        // of buckets, open ones too, each time
	Submissions uint64        // by themselves
	Loads       uint64        // windows that were read back into records that were empty
	Mended      uint64        // boards whose records had gone back
	Failures    uint64
	Deleted     uint64 // rows, after their retention
}

// progress is what is known of one route. All may read the counters; the rest belongs to whoever has set busy.
type progress struct {
	busy                                                            atomic.Bool  // somebody does what was due
	complete                                                        atomic.Int64 // when the last pass began that has left nothing out, in nanoseconds
	owed                                                            atomic.Int64
	buckets, members, submissions, loads, mended, failures, deleted atomic.Uint64
	look, pass, check, retain                                       time.Time     // from when on the next one is due
	pause                                                           time.Duration // after the last failure; zero: there was none since
	told                                                            time.Time     // when a failure was told of last that is not over
}

// Archiver moves records to PostgreSQL, and back where they are lost. Its methods are safe for concurrent use.
//
// What is due of a route is done by a goroutine of its own, and of some boards at once. All of it waits for one of a few connections, and nothing
// that has one waits for another.
type Archiver struct {
	records leaderboard.Source
	log     *slog.Logger
	config  atomic.Pointer[Config]

	routes sync.Map // of *progress, by name

	places chan struct{}  // mostConnections of them; who has one may use or make a connection
	conns  chan *pgx.Conn // that nobody uses: as many as there were transactions at once
	looks  sync.WaitGroup // of those who do what is due

	// Of tests: called after the commit, before the records are told; an error is that of an instance that has died there.
	committed func() error
	every     time.Duration // between passes; zero: passEvery
}

// New makes an archiver. It dials nothing.
func New(o Options) *Archiver {
	a := &Archiver{records: o.Records, log: o.Log, committed: func() error { return nil }, places: make(chan struct{}, mostConnections), conns: make(chan *pgx.Conn, mostConnections)}
	a.config.Store(&o.Config)
	return a
}

// Reconfigure puts another configuration in force, from the next look on.
func (a *Archiver) Reconfigure(c Config) { a.config.Store(&c) }

// States are those of the routes in force.
func (a *Archiver) States() (all []State) {
	for _, r := range a.config.Load().Routes {
		p := a.progress(r.Rules.Route)
		all = append(all, State{
			Route: r.Rules.Route, Age: time.Since(time.Unix(0, p.complete.Load())), Owed: int(p.owed.Load()), Buckets: p.buckets.Load(), Members: p.members.Load(),
			Submissions: p.submissions.Load(), Loads: p.loads.Load(), Mended: p.mended.Load(), Failures: p.failures.Load(), Deleted: p.deleted.Load(),
		})
	}
	return all
}

func (a *Archiver) progress(route string) *progress {
	if p, known := a.routes.Load(route); known {
		return p.(*progress)
	}
	p := new(progress)
	p.complete.Store(time.Now().UnixNano())
	is, _ := a.routes.LoadOrStore(route, p)
	return is.(*progress)
}

// Run archives until ctx ends.
func (a *Archiver) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		a.look(ctx)
		wait(ctx, lookEvery)
	}
	a.looks.Wait()
	a.hangUp()
	return nil
}

// look begins what is due of each route, unless that which was due before is not done. So a route that fails, or is slow, holds up no other. ended
// waits for what was begun, and says what has failed.
func (a *Archiver) look(ctx context.Context) (ended func() error) {
	var failed []chan error
	for _, r := range a.config.Load().Routes {
		p := a.progress(r.Rules.Route)
		if !p.busy.CompareAndSwap(false, true) {
			continue
		}
		if time.Now().Before(p.look) {
			p.busy.Store(false)
			continue
		}
		end := make(chan error, 1)
		failed = append(failed, end)
		a.looks.Go(func() {
			err := a.lookAt(ctx, r, p)
			if ctx.Err() == nil {
				a.tell(r, p, err)
			}
			p.busy.Store(false) // before ended returns: who looks next is to find the route free
			end <- err
		})
	}
	return func() (err error) {
		for _, end := range failed {
			err = errors.Join(err, <-end)
		}
		return err
	}
}

// tell counts and logs a failure, and says when the next look is due.
func (a *Archiver) tell(r Route, p *progress, err error) {
	if err == nil {
		if p.pause = 0; !p.told.IsZero() {
			a.log.Info("the archive of leaderboards goes on", "route", r.Rules.Route)
		}
		p.told = time.Time{}
		return
	}
	p.failures.Add(1)
	p.pause = min(max(2*p.pause, 2*lookEvery), retryMost)
	p.look = time.Now().Add(p.pause)
	if lasts := p.pause > 2*lookEvery; lasts && time.Since(p.told) >= tellEvery {
		a.log.Warn("the archive of leaderboards waits; the records keep what it lacks", "route", r.Rules.Route, "error", err)
		p.told = time.Now()
	}
}

func (a *Archiver) lookAt(ctx context.Context, r Route, p *progress) error {
	empty, err := a.records.Empty(ctx, r.Rules)
	if err != nil {
		return fmt.Errorf("ask for records: %w", err)
	}
	now := time.Now()
	if !empty && now.Before(p.pass) {
		return nil
	}
	if err := a.reach(ctx); err != nil {
		return err
	}
	if empty {
		if loaded, err := a.load(ctx, r.Rules, p); err != nil || !loaded {
			return err // another instance is at it, and nothing else is to be done with records that lack a part
		}
	}
	every := passEvery
	if a.every > 0 {
		every = a.every
	}
	complete, err := a.pass(ctx, r.Rules, p)
	if err != nil {
		return err
	}
	if complete {
		p.complete.Store(now.UnixNano())
	}
	if !now.Before(p.check) {
		if err := a.check(ctx, r.Rules, p); err != nil {
			return err
		}
		p.check = now.Add(checkEvery)
	}
	if r.Retention > 0 && !now.Before(p.retain) {
		if err := a.retain(ctx, r, p); err != nil {
			return err
		}
		p.retain = now.Add(retainEvery)
	}
	p.pass = now.Add(max(every, sparing*time.Since(now)))
	return nil
}

// connect makes a connection where there is none, trying the hosts in turn. Nothing lives in a session, so that every transaction may run on
// another connection of a pooler.
func (a *Archiver) connect(ctx context.Context, conn *pgx.Conn) (*pgx.Conn, error) {
	if conn != nil && !conn.IsClosed() {
		return conn, nil
	}
	c, err := postgres.Writable(a.config.Load().Source)
	if err != nil {
		return nil, err
	}
	postgres.Canceling(c)
	if conn, err = pgx.ConnectConfig(ctx, c); err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w: %w", errUnreached, err)
	}
	return conn, nil
}

// errUnreached says that the database is away, so that there is no use in asking it for something else.
var errUnreached = errors.New("the database is not reached")

// reach fails where there is no database.
func (a *Archiver) reach(ctx context.Context) (err error) {
	conn, err := a.wait(ctx)
	if err != nil {
		return err
	}
	conn, err = a.connect(ctx, conn)
	a.giveBack(conn)
	return err
}

// wait takes a place, and a connection that is there; nil: it has to be made. Both have to be given back.
func (a *Archiver) wait(ctx context.Context) (conn *pgx.Conn, err error) {
	select {
	case a.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case conn = <-a.conns:
	default:
	}
	return conn, nil
}

// giveBack gives back a place, and a connection that is of use.
func (a *Archiver) giveBack(conn *pgx.Conn) {
	if conn != nil && !conn.IsClosed() {
		a.conns <- conn
	}
	<-a.places
}

// hangUp ends the connections that nobody uses.
func (a *Archiver) hangUp() {
	for {
		select {
		case conn := <-a.conns:
			postgres.HangUp(conn)
		default:
			return
		}
	}
}

// within runs do in a transaction, which is committed where do says so. After an error of the server or of the way to it the connection is given
// up: a transaction that could not be ended must not be the next one's. Do must not run another.
func (a *Archiver) within(ctx context.Context, timeout time.Duration, do func(context.Context, pgx.Tx) (commit bool, err error)) (err error) {
	conn, err := a.wait(ctx)
	if err != nil {
		return err
	}
	defer func() { a.giveBack(conn) }()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if conn, err = a.connect(ctx, conn); err != nil {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil { // it may have ended while nothing was done with it
		postgres.HangUp(conn)
		if conn, err = a.connect(ctx, nil); err != nil {
			return err
		}
		if tx, err = conn.Begin(ctx); err != nil {
			postgres.HangUp(conn)
			return fmt.Errorf("begin transaction: %w: %w", errUnreached, err)
		}
	}
	commit, err := do(ctx, tx)
	if err == nil && commit {
		// What is committed leaves the records, so that it has to be on the database's disk, whatever its default is.
		const durable = `SELECT pg_catalog.set_config('synchronous_commit', 'on', true) WHERE pg_catalog.current_setting('synchronous_commit') = 'off'`
		if _, err = tx.Exec(ctx, durable); err == nil {
			err = tx.Commit(ctx)
		}
		if err == nil {
			return nil
		}
		err = fmt.Errorf("commit: %w", err)
	}
	undo, end := context.WithTimeout(context.WithoutCancel(ctx), postgres.CancelGrace)
	defer end()
	if failed := tx.Rollback(undo); failed != nil && !errors.Is(failed, pgx.ErrTxClosed) || conn.IsClosed() {
		postgres.HangUp(conn)
		if err != nil {
			err = fmt.Errorf("%w: %w", errUnreached, err)
		}
	}
	return err
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
