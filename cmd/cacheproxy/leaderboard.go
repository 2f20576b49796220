package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"cacheproxy/config"
	"cacheproxy/invalidation/valkey"
	"cacheproxy/leaderboard"
	"cacheproxy/leaderboard/api"
	"cacheproxy/policy"

	kept "cacheproxy/leaderboard/valkey"

	"github.com/spf13/cobra"
)

func leaderboardCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "leaderboard",
		Short: "Take scores into the boards of a route, and out of them",
		Long: `Take scores into the boards of a route, and out of them, as JSON lines:

  {"board": "chess", "player": "ada", "score": 7, "at": "2026-11-27T10:00:00Z"}

Both speak with the server of the records that the file names, as the instances do, which may run meanwhile. How to move a board to the
proxy without a gap is in docs/leaderboard.md.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(exportCommand(), importCommand())
	return cmd
}

func exportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export FILE ROUTE",
		Short: "Print what the boards of a route hold",
		Long: `Print what the boards of a route hold: where the window slides and the first of each bucket are kept, all of these; else each player that the
records have, of sums and of the last also those that are beyond the ranks. A sum is one line, with the time of the last score in it.`,
		Args: takes(2), SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			records, b, err := openBoards(args[0], args[1])
			if err != nil {
				return err
			}
			defer records.close()
			out := bufio.NewWriter(cmd.OutOrStdout())
			if err := records.export(cmd.Context(), b, json.NewEncoder(out)); err != nil {
				return err
			}
			if err := out.Flush(); err != nil {
				return fmt.Errorf("print scores: %w", err)
			}
			return nil
		},
	}
}

func importCommand() *cobra.Command {
	var before string
	cmd := &cobra.Command{
		Use:   "import FILE ROUTE",
		Short: "Take scores from the input into the boards of a route",
		Long: `Take scores from the input into the boards of a route. All lines are read and checked before the first is recorded. Each counts at its
time, and not at all where that has left the window. Scores of the best, the lowest or the last are merged with what is there, and may be
imported again. Sums and boards of submissions count what is in both twice: for these --before is required, the time from which on
the route was observed or on, and later lines are left out; the same import again adds nothing. All scores of
such a board have to be in one import: of several, a player has the sum of one in each bucket, and of submissions of one player with the same
time those of one.`,
		Args: takes(2), SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			limit := time.Now()
			if before != "" {
				var err error
				if limit, err = time.Parse(time.RFC3339Nano, before); err != nil {
					return fmt.Errorf("--before %q is not a time; write one such as %s", before, time.Now().UTC().Format(time.RFC3339))
				}
				if limit.After(time.Now().Add(time.Minute)) { // by another clock
					return fmt.Errorf("--before %q is in the future: a score of then would stay on the board until it comes, and longer", before)
				}
			}
			records, b, err := openBoards(args[0], args[1])
			if err != nil {
				return err
			}
			defer records.close()
			if adds := b.Rules.Aggregate == leaderboard.Sum || b.Rules.Aggregate == leaderboard.Every; adds && before == "" {
				return fmt.Errorf("route %s counts each score: write --before TIME, from which on it was observed or on", args[1])
			}
			read, err := readScores(cmd.InOrStdin(), b, records.names, limit)
			if err != nil {
				return err
			}
			boards, err := records.load(cmd.Context(), b, read.buckets)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s in %s; left out: %d later than %s, %d that have left the window\n",
				count(read.taken, "score"), count(boards, "board"), read.later, limit.UTC().Format(time.RFC3339), read.left)
			switch b.Rules.Aggregate {
			case leaderboard.Sum:
				fmt.Fprintln(cmd.OutOrStdout(), "of several imports into one bucket of a board, a player has the sum of that with the latest score, and not of all: import all scores of a board at once")
			case leaderboard.Every:
				fmt.Fprintln(cmd.OutOrStdout(), "scores of one player and time that are in several imports count once: import all scores of a board at once")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&before, "before", "", "leave out what is not before this time, such as 2026-11-27T10:00:00Z; without it, what is in the future")
	return cmd
}

// boardRecords are the records of a file's configuration.
type boardRecords struct {
	*kept.Records
	names boardNames // names that requests can reach
	close func()
}

// openBoards connects to the records of a file, and finds a route.
func openBoards(file, route string) (r boardRecords, b *api.Route, err error) {
	s, err := config.Load(file, config.Overrides{})
	if err != nil {
		return r, nil, err
	}
	switch b = s.Boards[route]; {
	case b == nil:
		return r, nil, fmt.Errorf("%s has no route %q with policy: leaderboard", file, route)
	case s.Records.Memory:
		return r, nil, fmt.Errorf("the records of %s are in the memory of its process (records.url: memory), and nowhere else", file)
	}
	connection := valkey.NewConnection(s.Records.Server, 0)
	if err := connection.Connect(); err != nil {
		return r, nil, err
	}
	client, _ := connection.Client() // Connect has made the client
	at := slices.IndexFunc(s.Routes, func(r *policy.Route) bool { return r.Name == route })
	records := kept.New(kept.Options{Connection: connection, Prefix: s.Records.Prefix, Timeout: 10 * time.Second})
	return boardRecords{records, namesOf(s.Routes[at]), client.Close}, b, nil
}

// scoreLine is one score in a file.
type scoreLine struct {
	Board  string          `json:"board"`
	Player string          `json:"player"`
	Score  json.RawMessage `json:"score"` // the number as written
	At     time.Time       `json:"at"`
}

// read parses a line as strictly as a submission: each field once and by its exact name, in UTF-8.
func (l *scoreLine) read(text json.RawMessage) error {
	if !utf8.Valid(text) {
		return errors.New("it is not UTF-8")
	}
	fields := map[string]any{"board": &l.Board, "player": &l.Player, "score": &l.Score, "at": &l.At}
	dec := json.NewDecoder(bytes.NewReader(text))
	if begin, err := dec.Token(); err != nil || begin != json.Delim('{') {
		return errors.New("it is no object")
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		into, known := fields[name.(string)] // the decoder allows only strings as names
		if !known {
			return fmt.Errorf("%q is there twice, or is no field of a score", name)
		}
		delete(fields, name.(string))
		if err := dec.Decode(into); err != nil {
			return err
		}
	}
	return nil
}

// pageSize is the number of members read from a bucket at once.
const pageSize = 1000

func (r boardRecords) export(ctx context.Context, b *api.Route, out *json.Encoder) error {
	boards, err := r.Boards(ctx, b.Rules)
	if err != nil {
		return err
	}
	for _, board := range boards {
		print := func(player string, score float64, at time.Time) error {
			text, err := json.Marshal(score)
			if err == nil {
				err = out.Encode(scoreLine{board, player, text, at.UTC()})
			}
			if err != nil {
				return fmt.Errorf("print scores: %w", err)
			}
			return nil
		}
		if !keepsBuckets(b.Rules) {
			v, err := r.All(ctx, b.Rules, board)
			if err != nil {
				return err
			}
			for _, e := range v.Entries {
				if err := print(e.Player, e.Score, e.At); err != nil {
					return err
				}
			}
			continue
		}
		err := r.Held(ctx, b.Rules, board, pageSize, func(_ leaderboard.Bucket, page []leaderboard.Member) error {
			for _, m := range page {
				if err := print(m.Player, m.Score, m.At); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keepsBuckets reports whether a board keeps more than the places of its players. A sliding window also keeps the
// members that move up when others leave.
func keepsBuckets(r *leaderboard.Rules) bool {
	return r.Window.Span == leaderboard.Rolling && r.Top > 0 && r.Aggregate != leaderboard.Sum && r.Aggregate != leaderboard.Last
}

// bucketID identifies one bucket of a board.
type bucketID struct {
	board string
	start time.Time
}

// scores are the scores read from a file.
type scores struct {
	buckets            map[bucketID][]leaderboard.Member
	taken, later, left int
}

// readScores reads all lines, and fails with the number of the first line that is refused. On boards that add scores
// up, several scores of a player in a bucket become one sum.
func readScores(in io.Reader, b *api.Route, names boardNames, before time.Time) (s scores, err error) {
	s.buckets = map[bucketID][]leaderboard.Member{}
	sums := map[bucketID]map[string]int{} // a player's index in the bucket
	weights := map[[2]string]float64{}    // sum of the absolute values of a player's scores on a board
	dec, now := json.NewDecoder(in), time.Now()
	for number := 1; ; number++ {
		var line scoreLine
		var text json.RawMessage
		err := dec.Decode(&text)
		if err == nil {
			err = line.read(text)
		}
		switch {
		case errors.Is(err, io.EOF):
			if b.Rules.Aggregate == leaderboard.Every {
				for id, members := range s.buckets {
					tellApart(members, b.Rules.BucketOf(id.start).End)
				}
			}
			return s, nil
		case err != nil:
			return s, fmt.Errorf("read line %d: %w", number, err)
		case line.Board == "" || len(line.Score) == 0 || line.At.IsZero():
			return s, fmt.Errorf("line %d lacks board, score or at; write {\"board\": \"chess\", \"player\": \"ada\", \"score\": 7, \"at\": %q}", number, now.UTC().Format(time.RFC3339))
		}
		if why := names.unreached(line.Board); why != "" {
			return s, fmt.Errorf("line %d: no request is about board %q: %s", number, line.Board, why)
		}
		of, err := b.Check(line.Player, string(line.Score))
		if err != nil {
			return s, fmt.Errorf("line %d: %w", number, err)
		}
		at := line.At.Truncate(time.Microsecond)
		bucket := b.Rules.BucketOf(at)
		switch from, _ := b.Rules.Window.Period(now); {
		case !at.Before(before):
			s.later++
			continue
		case at.Before(from), b.Rules.Window.Span == leaderboard.Rolling && bucket.End.Add(b.Rules.Window.Length).Before(now):
			s.left++
			continue
		}
		s.taken++
		id := bucketID{line.Board, bucket.Start}
		m := leaderboard.Member{Player: of.Player, Score: of.Score, At: at}
		if b.Rules.Aggregate == leaderboard.Sum {
			whose, weight := [2]string{line.Board, line.Player}, math.Abs(m.Score)
			if weights[whose] > leaderboard.Exact-weight {
				return s, fmt.Errorf("line %d: the sum of %q on board %q would be beyond 2^53, up to which it is exact", number, line.Player, line.Board)
			}
			weights[whose] += weight
			if sums[id] == nil {
				sums[id] = map[string]int{}
			}
			if i, again := sums[id][line.Player]; again {
				one := &s.buckets[id][i]
				if one.Score += m.Score; at.After(one.At) {
					one.At = at
				}
				continue
			}
			sums[id][line.Player] = len(s.buckets[id])
		}
		s.buckets[id] = append(s.buckets[id], m)
	}
}

// tellApart gives the scores of one player in a bucket different times, on boards where each score stands for itself.
// The records identify a submission by player and time in microseconds, and take a second one with both for a
// repetition. Times in files are often whole seconds. The new times do not depend on the order of the lines, so that a
// repeated import gives the same times. end is the end of the bucket, which all times stay before; zero: the bucket has
// no end.
func tellApart(members []leaderboard.Member, end time.Time) {
	slices.SortFunc(members, func(a, b leaderboard.Member) int {
		return cmp.Or(cmp.Compare(a.Player, b.Player), a.At.Compare(b.At), cmp.Compare(a.Score, b.Score))
	})
	for i := 1; i < len(members); i++ {
		if before, m := members[i-1], &members[i]; m.Player == before.Player && !m.At.After(before.At) {
			m.At = before.At.Add(time.Microsecond)
		}
	}
	for i := len(members) - 1; i >= 0 && !end.IsZero(); i-- {
		limit, m := end, &members[i]
		if i+1 < len(members) && members[i+1].Player == m.Player {
			limit = members[i+1].At
		}
		if !m.At.Before(limit) {
			m.At = limit.Add(-time.Microsecond)
		}
	}
}

// load records the scores, oldest buckets first, and returns the number of boards.
func (r boardRecords) load(ctx context.Context, b *api.Route, buckets map[bucketID][]leaderboard.Member) (boards int, err error) {
	known, err := r.Boards(ctx, b.Rules)
	if err != nil {
		return 0, err
	}
	var ids []bucketID
	touched := map[string]bool{}
	for id := range buckets {
		ids = append(ids, id)
		if touched[id.board] = true; !slices.Contains(known, id.board) {
			known = append(known, id.board)
		}
	}
	if len(known) > b.Rules.MaxBoards {
		return 0, fmt.Errorf("there would be %d boards, and leaderboard.max_boards is %d; nothing was imported", len(known), b.Rules.MaxBoards)
	}
	slices.SortFunc(ids, func(a, b bucketID) int { return a.start.Compare(b.start) })
	for _, id := range ids {
		bucket := b.Rules.BucketOf(id.start)
		bucket.Board = id.board
		if err := r.Load(ctx, b.Rules, bucket, buckets[id]); err != nil {
			return 0, fmt.Errorf("import into board %q: %w; the same import again finishes it", id.board, err)
		}
	}
	return len(touched), nil
}
