package instance

import (
	"errors"
	"maps"
	"slices"

	"cacheproxy/config"
	"cacheproxy/leaderboard/archive"
	"cacheproxy/observe"
)

// boardArchive moves the records of boards to PostgreSQL, for routes with an archive. A nil *boardArchive belongs to an
// instance without such records, or without a database.
type boardArchive struct{ *archive.Archiver }

// newBoardArchive makes the archive without dialing. The archive never dials while no route has an archive.
func newBoardArchive(i *Instance) *boardArchive {
	if i.boards == nil || i.boards.records == nil || i.snapshot.Postgres == nil {
		return nil
	}
	a := archive.New(archive.Options{Config: archiveConfig(i.snapshot), Records: i.boards.records, Log: i.log})
	i.metrics.BoardArchives(func() (all []observe.BoardArchive) {
		for _, s := range a.States() {
			all = append(all, observe.BoardArchive{
				Route: s.Route, Age: s.Age.Seconds(), Owed: s.Owed, Buckets: s.Buckets, Members: s.Members, Submissions: s.Submissions,
				Loads: s.Loads, Mended: s.Mended, Failed: s.Failures, Gone: s.Deleted,
			})
		}
		return all
	})
	return &boardArchive{a}
}

// archiveConfig is the part of a configuration that concerns the archive.
func archiveConfig(s *config.Snapshot) (c archive.Config) {
	if s.Postgres == nil {
		return c
	}
	c.Source = s.Postgres.Source
	for _, name := range slices.Sorted(maps.Keys(s.Boards)) {
		if b := s.Boards[name]; b.Archive != nil {
			c.Routes = append(c.Routes, archive.Route{Rules: b.Rules, Retention: b.Archive.Retention})
		}
	}
	return c
}

// fits fails where a configuration has an archive that only a restart can begin.
func (b *boardArchive) fits(s *config.Snapshot) error {
	if b == nil && len(archiveConfig(s).Routes) > 0 {
		return errors.New("a route has leaderboard.archive, which needs a restart with postgres")
	}
	return nil
}

// reconfigure puts another configuration in force.
func (b *boardArchive) reconfigure(s *config.Snapshot) {
	if b != nil {
		b.Reconfigure(archiveConfig(s))
	}
}
