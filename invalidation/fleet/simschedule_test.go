package fleet

import (
	"container/heap"
	"time"
)

// event is something that happens at a time, unless the instance that it is for has died since.
type event struct {
	at       time.Duration
	order    int
	run      func()
	instance *simInstance
	life     int
}

type schedule []*event

func (s schedule) Len() int { return len(s) }
func (s schedule) Less(i, j int) bool {
	return s[i].at < s[j].at || s[i].at == s[j].at && s[i].order < s[j].order
}
func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(x any)   { *s = append(*s, x.(*event)) }
func (s *schedule) Pop() any {
	old := *s
	x := old[len(old)-1]
	*s = old[:len(old)-1]
	return x
}

func (w *simWorld) after(d time.Duration, run func()) { w.schedule(&event{at: w.now + d, run: run}) }

func (w *simWorld) schedule(e *event) {
	w.order++
	e.order = w.order
	heap.Push(&w.queue, e)
}
