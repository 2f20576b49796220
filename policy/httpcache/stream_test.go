package httpcache

import "testing"

func TestStreams(t *testing.T) {
	for contentType, want := range map[string]struct{ streams, grpc bool }{
		"text/event-stream": {true, false}, "Text/Event-Stream ;charset=utf-8": {true, false}, "text/event-stream; x": {true, false},
		"multipart/x-mixed-replace; boundary=f": {true, false},
		"application/grpc":                      {true, true}, "application/grpc+proto": {true, true}, "Application/gRPC; x": {true, true},
		"application/grpc-web": {true, true}, "application/grpc-web-text+proto": {true, true},
		"application/grpcs": {}, "x/application/grpc": {}, "text/event-streams": {}, "multipart/mixed": {}, "application/json": {}, ";": {}, "": {},
	} {
		h := header("Content-Type: " + contentType)
		if Streams(h) != want.streams || GRPC(h) != want.grpc {
			t.Errorf("%q: Streams %v, GRPC %v", contentType, Streams(h), GRPC(h))
		}
	}
	if Streams(nil) {
		t.Error("a message without a type streams")
	}
}
