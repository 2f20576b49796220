package proxy

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"testing"
)

// lateReader is what net/http is over HTTP/2 where the client resets its stream: Write ends with an error, and what it got is read afterwards.
type lateReader struct {
	http.ResponseWriter
	got [][]byte
	err error
}

func (w *lateReader) Write(p []byte) (int, error) {
	w.got = append(w.got, p)
	return len(p), w.err
}

func (w *lateReader) read() (all []byte) { return slices.Concat(w.got...) }

// Over HTTP/2 what was written is the connection's: whoever wrote it may use its memory for something else as soon as Write has returned.
func TestWrittenBytesAreTheConnections(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 3*clonedAtOnce/16)
	for _, err := range []error{nil, errors.New("stream closed")} {
		late := &lateReader{err: err}
		w := recorder{ResponseWriter: late, lends: true}
		memory := bytes.Clone(want)
		n, got := w.Write(memory)
		clear(memory) // for the next answer
		if sent := late.read(); !bytes.Equal(sent, want[:len(sent)]) || n != len(sent) || !errors.Is(got, err) || err == nil && n != len(want) || n <= copiedBy {
			t.Errorf("%v: %d bytes are taken, and %d are read: they are what was written: %t; %v", err, n, len(sent), bytes.HasPrefix(want, sent), got)
		}
		if w.failed != (err != nil) || w.bytes != int64(n) {
			t.Errorf("%v: noted: failed %t, %d bytes", err, w.failed, w.bytes)
		}
	}
}

// That holds for every request over HTTP/2, and costs those over HTTP/1 nothing.
func TestOnlyHTTP2ReadsLate(t *testing.T) {
	for major, want := range map[int]bool{1: false, 2: true} {
		p, r := hot(t)
		r.ProtoMajor = major
		var ex exchange
		if ex.begin(p, &sink{header: http.Header{}}, r); ex.w.lends != want {
			t.Errorf("HTTP/%d: %t", major, ex.w.lends)
		}
	}
}
