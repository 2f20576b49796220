package coding

import (
	"sync"
	"sync/atomic"
)

const (
	// pieceSize is how many bytes of a body a Reader unpacks at a time.
	pieceSize = 32 << 10
	// smallPiece is the smaller size for readers that come while all pieces of pieceSize are lent or decoders are
	// scarce, in bytes. A small piece is larger than the 4 KiB of a handler's output that net/http buffers. So the
	// handler's write returns when the client takes bytes, and not before.
	smallPiece = 4<<10 + 512
	// maxPieces is how many pieces of pieceSize may be lent: 8 MiB. A client that reads nothing may hold its piece for
	// a minute. A reader that finds all of them lent unpacks a smallPiece at a time. Such a reader is slower, but waits
	// for no other.
	maxPieces = 256
	// mostPieces is how many pieces one body may take.
	mostPieces = 32
)

// piece is a stretch of unpacked bytes on its way to a client.
type piece struct{ bytes []byte }

var (
	lentPieces  atomic.Int64 // pieces of pieceSize that readers have
	pieces      = sync.Pool{New: func() any { return &piece{make([]byte, pieceSize)} }}
	smallPieces = sync.Pool{New: func() any { return &piece{make([]byte, smallPiece)} }}
)

// takePiece lends a piece of pieceSize, or a small one where all of those are lent.
func takePiece() *piece {
	if p := tryPiece(); p != nil {
		return p
	}
	return smallPieces.Get().(*piece)
}

// firstPiece lends the first piece of a body. If decoders are scarce, the first piece is a small one: many of the
// clients that come in such a crowd may never read. widen gives the others a larger piece next.
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
