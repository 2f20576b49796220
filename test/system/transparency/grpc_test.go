package transparency

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"

	"cacheproxy/test/servers"
	"cacheproxy/test/wire"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// The interoperability tests of gRPC pass, which every implementation has to pass directly, whichever way they go: unary calls,
// streams of both sides and one, metadata at both ends, statuses and messages in every script, cancellation and deadlines.
func TestGRPC(t *testing.T) {
	ln := wire.Listen(t)
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for name, route := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := servers.StartCacheproxy(t.Context(), program, t.TempDir(), fmt.Sprintf("h2c: true\ndrain_delay: 0s\nupstreams: [{name: grpc, url: \"h2c://%s\"}]\nroutes: [%s]\n", ln.Addr(), route))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Process.Stop() })
			conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(p.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c := testgrpc.NewTestServiceClient(conn)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			// Each ends the process where it fails, and says why.
			interop.DoEmptyUnaryCall(ctx, c)
			interop.DoLargeUnaryCall(ctx, c)
			interop.DoClientStreaming(ctx, c)
			interop.DoServerStreaming(ctx, c)
			interop.DoPingPong(ctx, c)
			interop.DoEmptyStream(ctx, c)
			interop.DoTimeoutOnSleepingServer(ctx, c)
			interop.DoCancelAfterBegin(ctx, c)
			interop.DoCancelAfterFirstResponse(ctx, c)
			interop.DoCustomMetadata(ctx, c)
			interop.DoStatusCodeAndMessage(ctx, c)
			interop.DoSpecialStatusMessage(ctx, c)
			interop.DoUnimplementedMethod(ctx, conn)
			interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
		})
	}
}
