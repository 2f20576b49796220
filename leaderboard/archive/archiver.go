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
	// lookEvery is the pause between two looks for empty records, which nobody can read. passEvery is the pause between
	// two passes over owed data. checkEvery is the pause between two checks for records that went back without getting
	// submissions.
	lookEvery, passEvery, checkEvery = time.Second, 5 * time.Second, 30 * time.Second
	// sparing times the duration of a pass is the least time to the next one.
	sparing = 4
	// retryMost is the longest pause after a failure; the first is twice lookEvery.
	retryMost = 5 * time.Second
	// tellEvery is the pause between two log lines about a failure that lasts.
	tellEvery = time.Minute
	// mostConnections bounds the concurrent transactions of an instance. A slow bucket holds up no other, and the
	// database gets no more load.
	mostConnections = 4
	// statementTimeout bounds the transaction of one bucket, or of one page of lines. loadTimeout bounds a load.
	statementTimeout, loadTimeout = time.Minute, 30 * time.Minute
)

// Route has the settings of the archive for one route.
type Route struct {
	Rules     *leaderboard.Rules
	Retention time.Duration // zero: for ever; the window, and an all-time board except its submissions, stay longer
}

// Config is the part of the options that a reload may change.
type Config struct {
	// Source returns where the database is. Source is called for each connection, from several goroutines at once.
	Source func() (*pgx.ConnConfig, error)
	Routes []Route
}

// Options are the dependencies of an Archiver. All are required.
type Options struct {
	Config  Config
	Records leaderboard.Source
	Log     *slog.Logger
}

// State is the state of one route's archive, as this instance sees it.
type State struct {
	Route       string
	Age         time.Duration // how long something may be in the records alone
	Owed        int           // closed buckets that wait
	Buckets     uint64        // closed buckets that this instance has archived
	Members     uint64        // members of these and of open buckets, counted each time
	Submissions uint64        // submissions by themselves
	Loads       uint64        // loads of the window into empty records
	Mended      uint64        // boards whose records had gone back
	Failures    uint64
	Deleted     uint64 // rows deleted after their retention
}

// progress is the state of one route. Counters are atomic, and anybody may read them. The other fields belong to the
// goroutine that has set busy.
type progress struct {
	busy                                                            atomic.Bool  // a goroutine works on the route
	complete                                                        atomic.Int64 // begin of the last complete pass, ns
	owed                                                            atomic.Int64
	buckets, members, submissions, loads, mended, failures, deleted atomic.Uint64
	look, pass, check, retain                                       time.Time     // when the next one is due
	pause                                                           time.Duration // zero: the last look succeeded
	told                                                            time.Time     // the last log of a failure
}

// Archiver moves records to PostgreSQL, and back if the records are lost. The methods are safe for concurrent use.
//
// Each route has a goroutine at a time, which works on several boards at once. All of them wait for one of a few
// connections. A goroutine that has a connection waits for no second one, so they cannot deadlock.
type Archiver struct {
	records leaderboard.Source
	log     *slog.Logger
	config  atomic.Pointer[Config]

	routes sync.Map // of *progress, by name

	places chan struct{}  // mostConnections of them; the holder of a place may use or make a connection
	conns  chan *pgx.Conn // idle connections, at most as many as places
	looks  sync.WaitGroup // the goroutines of routes

	// For tests: committed is called after the commit, before the records are told; an error simulates an instance that
	// dies there.
	committed func() error
	every     time.Duration // between passes; zero: passEvery
}

// New makes an archiver, and connects to nothing.
func New(o Options) *Archiver {
	a := &Archiver{records: o.Records, log: o.Log, committed: func() error { return nil }, places: make(chan struct{}, mostConnections), conns: make(chan *pgx.Conn, mostConnections)}
	a.config.Store(&o.Config)
	return a
}

// Reconfigure puts another configuration in force, from the next look on.
func (a *Archiver) Reconfigure(c Config) { a.config.Store(&c) }

// States returns the states of the routes in force.
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

// look starts the work that is due for each route, unless earlier work of the route still runs. So a route that fails,
// or is slow, holds up no other. ended waits for the started work, and returns its errors.
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
			p.busy.Store(false) // before ended returns, so that the next look finds the route free
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

// tell counts and logs a failure, and sets the time of the next look.
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
			return err // another instance loads: the records lack a part, and nothing else may be done with them
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

// connect returns conn, or makes a connection if conn is nil or closed, trying the hosts in turn. The session has no
// settings, so that every transaction may run on another connection of a pooler.
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

// errUnreached says that the database is away, so that further statements would fail too.
var errUnreached = errors.New("the database is not reached")

// reach fails if the database cannot be reached.
func (a *Archiver) reach(ctx context.Context) (err error) {
	conn, err := a.wait(ctx)
	if err != nil {
		return err
	}
	conn, err = a.connect(ctx, conn)
	a.giveBack(conn)
	return err
}

// wait takes a place, and an idle connection; nil: the caller has to connect. The caller has to give both back.
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

// giveBack returns a place, and a connection if it is open.
func (a *Archiver) giveBack(conn *pgx.Conn) {
	if conn != nil && !conn.IsClosed() {
		a.conns <- conn
	}
	<-a.places
}

// hangUp closes the idle connections.
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

// within runs do in a transaction, and commits the transaction if do says so. If the transaction cannot be ended, the
// connection is closed: the next caller must not get a connection with an open transaction. do must not call within,
// since it would wait for a second connection.
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
	if err != nil { // an idle connection may have ended
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
		// The records drop what is committed, so the commit has to reach the disk of the database, whatever the default
		// is.
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
