package inventory

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// kind is what a request asks of a stock.
type kind uint8

const (
	read kind = iota
	set
	take
)

// outcome is what its client knows of it.
type outcome uint8

const (
	done    outcome = iota // as it was asked
	short                  // of a take: there was not enough
	unknown                // it was done, or will be, or never
)

// input is what was asked of one sku.
type input struct {
	kind kind
	n    int64 // to be set or taken
}

// output is what was answered.
type output struct {
	outcome outcome
	n       int64 // that was read
}

// register is a stock of one sku: what a database says to one request after the other.
var register = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, in, out any) (bool, any) {
		have, asked, got := state.(int64), in.(input), out.(output)
		switch asked.kind {
		case read:
			return have == got.n, have
		case set:
			return true, asked.n
		}
		enough := have >= asked.n
		if got.outcome != unknown && enough != (got.outcome == done) {
			return false, have
		}
		if enough {
			have -= asked.n
		}
		return true, have
	},
	DescribeOperation: func(in, out any) string {
		asked, got := in.(input), out.(output)
		switch asked.kind {
		case read:
			return fmt.Sprintf("read %d", got.n)
		case set:
			return fmt.Sprintf("set %d%s", asked.n, [...]string{"", "", ", unknown"}[got.outcome])
		}
		return fmt.Sprintf("take %d%s", asked.n, [...]string{"", ": too few", ", unknown"}[got.outcome])
	},
}

// never is when a request ends whose outcome is unknown.
const never = math.MaxInt64

// patience is how long Porcupine may take over one sku. What is a register it sees at once; that something is none can take for ever.
const patience = 10 * time.Second

// violation is a history of one sku that no register gives.
type violation struct {
	sku     string
	info    porcupine.LinearizationInfo
	history []porcupine.Operation
}

// judge looks at the history of every sku. undecided are those that took too long.
func judge(histories map[string][]porcupine.Operation) (violations []violation, undecided []string) {
	for sku, history := range histories {
		switch result, info := porcupine.CheckOperationsVerbose(register, history, patience); result {
		case porcupine.Illegal:
			violations = append(violations, violation{sku, info, history})
		case porcupine.Unknown:
			undecided = append(undecided, sku)
		}
	}
	return violations, undecided
}

// shortest is as much of a history, by when its requests ended, as no register gives.
func shortest(history []porcupine.Operation) []porcupine.Operation {
	ends := make([]int64, 0, len(history))
	for _, o := range history {
		if o.Return != never {
			ends = append(ends, o.Return)
		}
	}
	slices.Sort(ends)
	until := func(end int64) []porcupine.Operation {
		var part []porcupine.Operation
		for _, o := range history {
			switch asked, got := o.Input.(input), o.Output.(output); {
			case o.Return <= end:
				part = append(part, o)
			case o.Call <= end && asked.kind != read: // under way: it may have been done already
				part = append(part, porcupine.Operation{ClientId: o.ClientId, Input: o.Input, Output: output{outcome: max(got.outcome, unknown)}, Call: o.Call, Return: never})
			}
		}
		return part
	}
	low, high := 0, len(ends)-1
	for low < high {
		middle := (low + high) / 2
		if porcupine.CheckOperationsTimeout(register, until(ends[middle]), patience) == porcupine.Illegal {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return until(ends[low])
}

// The model finds what it is to find, and nothing else.
func TestModel(t *testing.T) {
	at := func(call, end int64, in input, out output) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: end, Input: in, Output: out}
	}
	tests := []struct {
		name    string
		history []porcupine.Operation
		legal   bool
	}{
		{"a read after a write sees it", []porcupine.Operation{at(1, 2, input{set, 5}, output{}), at(3, 4, input{kind: read}, output{n: 5})}, true},
		{"a read after a write sees what was before", []porcupine.Operation{at(1, 2, input{set, 5}, output{}), at(3, 4, input{kind: read}, output{n: 0})}, false},
		{"reads during a write see it and then not", []porcupine.Operation{
			at(1, 9, input{set, 5}, output{}), at(2, 3, input{kind: read}, output{n: 5}), at(4, 5, input{kind: read}, output{n: 0}),
		}, false},
		{"an unknown write is seen late", []porcupine.Operation{
			at(1, never, input{set, 5}, output{outcome: unknown}), at(2, 3, input{kind: read}, output{n: 0}), at(4, 5, input{kind: read}, output{n: 5}),
		}, true},
		{"an unknown write is never seen", []porcupine.Operation{at(1, never, input{set, 5}, output{outcome: unknown}), at(2, 3, input{kind: read}, output{n: 0})}, true},
		{"an unknown write comes and goes", []porcupine.Operation{
			at(1, never, input{set, 5}, output{outcome: unknown}), at(2, 3, input{kind: read}, output{n: 5}), at(4, 5, input{kind: read}, output{n: 0}),
		}, false},
		{"the last piece is sold twice", []porcupine.Operation{
			at(1, 2, input{set, 1}, output{}), at(3, 6, input{take, 1}, output{}), at(4, 5, input{take, 1}, output{}),
		}, false},
		{"the last piece is sold once", []porcupine.Operation{
			at(1, 2, input{set, 1}, output{}), at(3, 6, input{take, 1}, output{outcome: short}), at(4, 5, input{take, 1}, output{}),
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			violations, undecided := judge(map[string][]porcupine.Operation{"": test.history})
			if (len(violations) == 0) != test.legal || len(undecided) > 0 {
				t.Errorf("%d violations, %d undecided; legal: %v", len(violations), len(undecided), test.legal)
			}
		})
	}
}
