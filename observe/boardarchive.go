package observe

// BoardArchive is the state of the archive of one route's boards, seen from this instance. Counts begin with the
// instance.
type BoardArchive struct {
	Route                                                      string
	Age                                                        float64 // seconds
	Owed                                                       int
	Buckets, Members, Submissions, Loads, Mended, Failed, Gone uint64
}

// BoardArchives makes the metrics of the archives of boards. Each scrape calls read, which must be safe for concurrent
// use. BoardArchives may be called once.
func (m *Metrics) BoardArchives(read func() []BoardArchive) {
	m.register(readings(func(tell reading) {
		for _, a := range read() {
			tell(gauge, "leaderboard_archive_age_seconds", "For how long something may be in the records of a route's boards that the archive lacks.", a.Age, "route", a.Route)
			tell(gauge, "leaderboard_archive_owed", "Closed buckets of a route that wait in the records for the archive.", float64(a.Owed), "route", a.Route)
			tell(counter, "leaderboard_archive_buckets_total", "Closed buckets that this instance has archived.", float64(a.Buckets), "route", a.Route)
			tell(counter, "leaderboard_archive_members_total", "Members of buckets, open ones too, each time they were archived.", float64(a.Members), "route", a.Route)
			tell(counter, "leaderboard_archive_submissions_total", "Submissions that were archived by themselves.", float64(a.Submissions), "route", a.Route)
			tell(counter, "leaderboard_archive_loads_total", "Times that empty records were read back from the archive.", float64(a.Loads), "route", a.Route)
			tell(counter, "leaderboard_archive_mended_total", "Times that the records of a board had gone back, and what the archive has was merged into them.", float64(a.Mended), "route", a.Route)
			tell(counter, "leaderboard_archive_failures_total", "Tries to archive, or to read back, that are made again.", float64(a.Failed), "route", a.Route)
			tell(counter, "leaderboard_archive_deleted_rows_total", "Rows of the archive that were deleted after their retention.", float64(a.Gone), "route", a.Route)
		}
	}))
}
