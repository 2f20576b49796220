package coding

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"cacheproxy/policy/httpcache"
)

var errLength = errors.New("decode body: it has another length than it should")

// Decode unpacks a body, which must have the given length when unpacked.
func Decode(c httpcache.Coding, body []byte, length int) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, length))
	err := Stream(context.Background(), b, c, body, length)
	return b.Bytes(), err
}

// Stream unpacks a body of the given length into w, one piece at a time. Stream never writes more than that length,
// whatever the body holds. When ctx ends, Stream ends with the error of ctx. Errors of w are returned as they are.
func Stream(ctx context.Context, w io.Writer, c httpcache.Coding, body []byte, length int) error {
	r := NewReader(ctx, c, body, length)
	defer r.Close()
	return r.Copy(w, 0, length)
}

// Reader unpacks stretches of one body. It belongs to one goroutine, which must call Close.
//
// While w waits for a client, the Reader holds the bytes that it has just unpacked, and lends its decoder to other
// Readers. So a client that reads nothing keeps no other client from a decoder, and any number of clients use no more
// decoders than their desk has.
//
// The client's reading bounds the work. Beyond the start of the stretch and the bytes that w has taken, a Reader
// unpacks no more than its pieces hold, plus what a decoder unpacks at once: 32 KiB for gzip, 128 KiB for the others. A
// Reader that has lost its decoder asks for another when w has taken all pieces, not before. After ctx has ended, the
// Reader unpacks nothing and waits for no decoder.
type Reader struct {
	ctx    context.Context // of the request
	coding httpcache.Coding
	body   []byte
	length int

	desk   *desk
	from   *decoder // nil: none; another reader may have taken it meanwhile, see desk
	at     int      // how many bytes from has unpacked
	pieces []*piece // filled before from is lent; none until the first stretch
	more   [1]byte  // for the read past the end
}

// NewReader returns a reader of a body that has the given length when unpacked. Once ctx has ended, the reader only
// returns the error of ctx.
func NewReader(ctx context.Context, c httpcache.Coding, body []byte, length int) *Reader {
	r := readers.Get().(*Reader)
	r.ctx, r.coding, r.body, r.length, r.desk = ctx, c, body, length, deskOf(c)
	return r
}

var readers = sync.Pool{New: func() any { return new(Reader) }}

// Copy writes the bytes from first up to, but not including, end. Copy unpacks no bytes behind end. Copy goes on where
// the last stretch ended unless first lies before that point, and then begins anew. Errors of w are returned as they
// are. Only a stretch that ends with the body checks the body's length. If the length is wrong, Copy does not write the
// last part.
func (r *Reader) Copy(w io.Writer, first, end int) error {
	if r.coding == httpcache.Zstd && first == 0 && end == r.length && r.length <= pieceSize {
		if len(r.pieces) == 0 {
			r.pieces = append(r.pieces, takePiece())
		}
		if r.length <= len(r.pieces[0].bytes) {
			return r.whole(w, r.pieces[0].bytes[:0:r.length])
		}
	}
	for {
		if err := r.seek(first); err != nil {
			return err
		}
		n, err := r.unpack(end - first)
		if err != nil {
			return err
		}
		if first += n; first == r.length {
			r.done()
		} else {
			r.desk.lend(r.from, r.at) // while w waits for the client
		}
		if err := r.write(w, n); err != nil || first == end {
			return err
		}
		r.widen()
	}
}

// seek brings the reader's decoder to an offset.
func (r *Reader) seek(offset int) error {
	if r.from != nil && !r.desk.back(r.from, r) {
		r.from = nil
		r.takeMore()
	}
	if r.at > offset {
		r.done()
	}
	if r.from == nil {
		d, scarce, err := r.desk.take(r.ctx, r, offset > near)
		if err != nil {
			return err
		}
		if r.from, r.at = d, 0; len(r.pieces) == 0 {
			r.pieces = append(r.pieces, firstPiece(scarce))
		}
		if err := d.begin(r.body); err != nil {
			return fmt.Errorf("decode body: %w", err)
		}
		defer r.desk.arrived(d)
	}
	for skipped := r.pieces[0].bytes; r.at < offset; {
		if err := r.fill(skipped[:min(offset-r.at, len(skipped))]); err != nil {
			return err
		}
	}
	return nil
}

// widen swaps a small piece for one of pieceSize, once the client has taken all of the small piece.
func (r *Reader) widen() {
	if len(r.pieces[0].bytes) == pieceSize {
		return
	}
	if p := tryPiece(); p != nil {
		r.pieces[0].give()
		r.pieces[0] = p
	}
}

// takeMore doubles the pieces of a reader that has lost its decoder. So a reader that loses decoders again and again
// does not begin anew for every piece. takeMore adds fewer, or none, where pieces run out.
func (r *Reader) takeMore() {
	for range min(len(r.pieces), mostPieces-len(r.pieces)) {
		p := tryPiece()
		if p == nil {
			return
		}
		r.pieces = append(r.pieces, p)
	}
}

// unpack fills the pieces with up to most bytes. At the end of the body unpack makes sure that no bytes follow.
func (r *Reader) unpack(most int) (n int, err error) {
	for _, p := range r.pieces {
		part := p.bytes[:min(most-n, len(p.bytes))]
		if err := r.fill(part); err != nil {
			return 0, err
		}
		n += len(part)
	}
	if r.at < r.length {
		return n, nil
	}
	switch read, err := io.ReadFull(r.from, r.more[:]); {
	case read > 0:
		return 0, errLength
	case !errors.Is(err, io.EOF):
		return 0, fmt.Errorf("decode body: %w", err)
	}
	return n, nil
}

// fill unpacks len(p) bytes, unless ctx has ended.
func (r *Reader) fill(p []byte) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	n, err := io.ReadFull(r.from, p)
	r.at += n
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errLength
	default:
		return fmt.Errorf("decode body: %w", err)
	}
}

// write writes the first n bytes of the pieces.
func (r *Reader) write(w io.Writer, n int) error {
	for _, p := range r.pieces {
		part := p.bytes[:min(n, len(p.bytes))]
		if n -= len(part); len(part) == 0 {
			return nil
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// whole decodes a short body at once, which is faster than in pieces. The capacity of dst is the length that the body
// may have.
func (r *Reader) whole(w io.Writer, dst []byte) error {
	plain, err := zstdReader().DecodeAll(r.body, dst)
	if err != nil {
		return fmt.Errorf("decode body: %w", err)
	}
	if len(plain) != r.length {
		return errLength
	}
	_, err = w.Write(plain)
	return err
}

// done gives the decoder back, unless another reader has taken it.
func (r *Reader) done() {
	if r.from != nil && r.desk.back(r.from, r) {
		r.desk.give(r.from)
	}
	r.from = nil
}

// Close gives the decoder and the pieces back. No other method may be called after Close.
func (r *Reader) Close() {
	r.done()
	for _, p := range r.pieces {
		p.give()
	}
	*r = Reader{pieces: r.pieces[:0]}
	readers.Put(r)
}
