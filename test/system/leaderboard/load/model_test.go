package load

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// late is within which a submission has to be shown once it is acknowledged, and how much longer than its bucket one may be shown.
const late = time.Second

// submission is one that was sent.
type submission struct {
	player string
	score  int64
	sent   time.Time
	acked  time.Time // zero: not, or not yet; whether it counts is not known
}

// what tells submissions from each other.
type what struct {
	player string
	score  int64
}

// entry is a place of the board as it was read.
type entry struct {
	Rank   int64
	Player string
	Score  int64
}

// model is every submission. It is safe for concurrent use.
type model struct {
	window, bucket time.Duration
	top            int

	mu      sync.Mutex
	players map[string][]*submission
	ranked  []*submission // acknowledged and within the window, the greatest score first
	all     map[what]int  // acknowledged, ever
	acked   int
	unknown int
}

func newModel(window, bucket time.Duration, top int) *model {
	return &model{window: window, bucket: bucket, top: top, players: map[string][]*submission{}, all: map[what]int{}}
}

// send notes a submission that is about to be sent.
func (m *model) send(player string, score int64) *submission {
	s := &submission{player: player, score: score, sent: time.Now()}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.players[player] = append(m.players[player], s)
	return s
}

// ended notes what became of it.
func (m *model) ended(s *submission, acknowledged bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !acknowledged {
		m.unknown++
		return
	}
	s.acked = time.Now()
	m.acked++
	m.all[what{s.player, s.score}]++
	at, _ := slices.BinarySearchFunc(m.ranked, s.score, func(s *submission, score int64) int {
		if s.score > score {
			return -1
		}
		return 1
	})
	m.ranked = slices.Insert(m.ranked, at, s)
}

func (m *model) acknowledged() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.acked
}

// forget drops what no read can show or miss any more.
func (m *model) forget(now time.Time) {
	oldest := now.Add(-m.window - m.bucket - 10*late)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ranked = slices.DeleteFunc(m.ranked, func(s *submission) bool { return s.sent.Before(oldest) })
	for player, all := range m.players {
		all = slices.DeleteFunc(all, func(s *submission) bool { return s.sent.Before(oldest) })
		if m.players[player] = all; len(all) == 0 {
			delete(m.players, player)
		}
	}
}

// check says what is wrong with a read.
func (m *model) check(board []entry, sent, answered time.Time) error {
	shown := map[string]int64{}
	for i, e := range board {
		_, twice := shown[e.Player]
		if e.Rank != int64(i+1) || twice || i > 0 && e.Score > board[i-1].Score {
			return fmt.Errorf("place %d is %+v: its rank, its order or its player is wrong", i+1, e)
		}
		shown[e.Player] = e.Score
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	earliest := sent.Add(-m.window - m.bucket - late)
	for _, e := range board {
		if !slices.ContainsFunc(m.players[e.Player], func(s *submission) bool {
			return s.score == e.Score && !s.sent.After(answered) && (s.acked.IsZero() || !s.acked.Before(earliest))
		}) {
			return fmt.Errorf("%+v was never submitted, or has expired: %s", e, m.told(e.Player, sent))
		}
	}
	least := int64(-1 << 62) // what may be missing
	if len(board) == m.top {
		least = board[len(board)-1].Score
	}
	for _, s := range m.ranked {
		if s.score <= least {
			break
		}
		if s.acked.After(sent.Add(-late)) || s.sent.Before(answered.Add(-m.window)) {
			continue
		}
		if score, there := shown[s.player]; !there || score < s.score {
			return fmt.Errorf("%s with %d is missing (shown: %d, %t): %s", s.player, s.score, score, there, m.told(s.player, sent))
		}
	}
	return nil
}

// told is what is known of a player, by how long before a read it was.
func (m *model) told(player string, sent time.Time) (text string) {
	for _, s := range m.players[player] {
		text += fmt.Sprintf("[%d, sent %s before", s.score, sent.Sub(s.sent).Round(time.Millisecond))
		if !s.acked.IsZero() {
			text += fmt.Sprintf(", acknowledged %s before", sent.Sub(s.acked).Round(time.Millisecond))
		}
		text += "] "
	}
	return text
}
