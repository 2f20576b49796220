package coding

import (
	"sync"
	"sync/atomic"
)

const (
	// pieceSize is how much of a body is unpacked at a time, in bytes.
	pieceSize = 32 << 10
	// smallPiece is as much for who comes while all others are lent, or decoders are scarce. It is more than net/http keeps of what a
	// handler writes, 4 KiB, so that its write returns when a client takes something, and not before.
	smallPiece = 4<<10 + 512
	// maxPieces is how many pieces of pieceSize there are: 8 MiB. Each is held while its client takes what it has, which may be a minute
	// for one that reads nothing. Whoever finds all of them lent unpacks a smallPiece at a time, and so is slower, but waits for nobody.
	maxPieces = 256
	// mostPieces is how many of them one body may take.
	mostPieces = 32
)

// piece is a stretch of what was unpacked, on its way to a client.
type piece struct{ bytes []byte }

var (
	lentPieces  atomic.Int64 // of pieceSize
	pieces      = sync.Pool{New: func() any { return &piece{make([]byte, pieceSize)} }}
	smallPieces = sync.Pool{New: func() any { return &piece{make([]byte, smallPiece)} }}
)

// takePiece lends a piece.
func takePiece() *piece {
	if p := tryPiece(); p != nil {
		return p
	}
	return smallPieces.Get().(*piece)
}

// firstPiece lends the first piece of a body. Where decoders are scarce it is a small one: of those who ask then, many may never read, and
// the others get a larger one with the next.
func firstPiece(scarce bool) *piece {
	if scarce {
		return smallPieces.Get().(*piece)
	}
	return takePiece()
}

// tryPiece lends a piece of pieceSize; nil: all of them are lent.
func tryPiece() *piece {
	if lentPieces.Add(1) > maxPieces {
		lentPieces.Add(-1)
		return nil
	}
	return pieces.Get().(*piece)
}

func (p *piece) give() {
	if len(p.bytes) == smallPiece {
		smallPieces.Put(p)
		return
	}
	pieces.Put(p)
	lentPieces.Add(-1)
}
