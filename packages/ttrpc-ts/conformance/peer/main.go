// Peer speaks ttrpc with Go's library, for the conformance tests and the benchmark of ttrpc-ts.
//
//	peer serve SOCKET                       serve trimaran.conformance.Echo until stdin ends
//	peer check SOCKET                       call such a server; prints "ok NAME" or "FAIL NAME: reason" per case
//	peer bench SOCKET CALLS IN_FLIGHT       make unary calls; prints the nanoseconds that all of them took
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const service = "trimaran.conformance.Echo"

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// echo answers with what it got.
func echo(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	var in Any
	if err := unmarshal(&in); err != nil {
		return nil, err
	}
	return &in, nil
}

// fail answers with the code that stands in type_url and the text in value.
func fail(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	var in Any
	if err := unmarshal(&in); err != nil {
		return nil, err
	}
	code, err := strconv.Atoi(in.TypeUrl)
	if err != nil {
		return nil, err
	}
	return nil, status.Error(codes.Code(code), string(in.Value))
}

// wait answers only when the context is over.
func wait(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	var in Any
	if err := unmarshal(&in); err != nil {
		return nil, err
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// big answers with as many bytes as type_url says.
func big(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	var in Any
	if err := unmarshal(&in); err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(in.TypeUrl)
	if err != nil {
		return nil, err
	}
	return &Any{Value: make([]byte, size)}, nil
}

// metadata answers with the values of the key in type_url.
func metadata(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	var in Any
	if err := unmarshal(&in); err != nil {
		return nil, err
	}
	md, _ := ttrpc.GetMetadata(ctx)
	values, _ := md.Get(in.TypeUrl)
	return &Any{TypeUrl: fmt.Sprint(values)}, nil
}

func serve(path string) {
	listener, err := net.Listen("unix", path)
	must(err)
	server, err := ttrpc.NewServer()
	must(err)
	register(server, map[string]ttrpc.Method{"Unary": echo, "Fail": fail, "Wait": wait, "Big": big, "Metadata": metadata})
	go func() { must(server.Serve(context.Background(), listener)) }()
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func dial(path string) *ttrpc.Client {
	conn, err := net.Dial("unix", path)
	must(err)
	return ttrpc.NewClient(conn)
}

func bench(path string, calls, inFlight int) {
	client := dial(path)
	ctx := context.Background()
	work := make(chan struct{}, calls)
	for i := 0; i < calls; i++ {
		work <- struct{}{}
	}
	close(work)
	begin := time.Now()
	var group sync.WaitGroup
	for i := 0; i < inFlight; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for range work {
				var out Any
				must(client.Call(ctx, service, "Unary", &Any{TypeUrl: "web"}, &out))
			}
		}()
	}
	group.Wait()
	fmt.Println(time.Since(begin).Nanoseconds())
}

func main() {
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2])
	case "check":
		check(os.Args[2])
	case "bench":
		calls, err := strconv.Atoi(os.Args[3])
		must(err)
		inFlight, err := strconv.Atoi(os.Args[4])
		must(err)
		bench(os.Args[2], calls, inFlight)
	}
}
