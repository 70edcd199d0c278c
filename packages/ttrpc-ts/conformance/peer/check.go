package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func report(name string, err error) {
	if err == nil {
		fmt.Println("ok", name)
	} else {
		fmt.Printf("FAIL %s: %v\n", name, err)
	}
}

func wantCode(err error, code codes.Code, text string) error {
	var carrier interface{ GRPCStatus() *status.Status }
	if errors.As(err, &carrier) {
		err = carrier.GRPCStatus().Err()
	}
	if got := status.Convert(err); err == nil || got.Code() != code || !strings.Contains(got.Message(), text) {
		return fmt.Errorf("got %v, want code %d %q", err, code, text)
	}
	return nil
}

func checkEcho(client *ttrpc.Client, size int) error {
	in := &Any{TypeUrl: "size", Value: make([]byte, size)}
	for i := range in.Value {
		in.Value[i] = byte(i)
	}
	var out Any
	if err := client.Call(context.Background(), service, "Unary", in, &out); err != nil {
		return err
	}
	if out.TypeUrl != in.TypeUrl || string(out.Value) != string(in.Value) {
		return errors.New("the answer differs from the request")
	}
	return nil
}

func checkConcurrent(client *ttrpc.Client) error {
	failures := make(chan error, 200)
	var group sync.WaitGroup
	for i := 0; i < 200; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			want := fmt.Sprint("call ", i)
			var out Any
			err := client.Call(context.Background(), service, "Unary", &Any{TypeUrl: want}, &out)
			if err == nil && out.TypeUrl != want {
				err = fmt.Errorf("got %q for %q", out.TypeUrl, want)
			}
			if err != nil {
				failures <- err
			}
		}(i)
	}
	group.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}

func checkDeadline(client *ttrpc.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	var out Any
	err := client.Call(ctx, service, "Wait", &Any{}, &out)
	if !errors.Is(err, context.DeadlineExceeded) && status.Code(err) != codes.DeadlineExceeded {
		return fmt.Errorf("got %v", err)
	}
	return nil
}

func checkMetadata(client *ttrpc.Client) error {
	ctx := ttrpc.WithMetadata(context.Background(), ttrpc.MD{"containerd-namespace-ttrpc": []string{"a", "b"}})
	var out Any
	if err := client.Call(ctx, service, "Metadata", &Any{TypeUrl: "containerd-namespace-ttrpc"}, &out); err != nil {
		return err
	}
	if out.TypeUrl != "[a b]" {
		return fmt.Errorf("got %q", out.TypeUrl)
	}
	return nil
}

func callError(client *ttrpc.Client, service, method string, in *Any) error {
	var out Any
	return client.Call(context.Background(), service, method, in, &out)
}

func check(path string) {
	client := dial(path)
	report("echo of nothing", checkEcho(client, 0))
	report("echo of 100 bytes", checkEcho(client, 100))
	report("echo of 4 MB", checkEcho(client, 4<<20-200))
	report("200 calls at once", checkConcurrent(client))
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		err := callError(client, service, "Fail", &Any{TypeUrl: fmt.Sprint(int(code)), Value: []byte("why: é")})
		report(fmt.Sprint("error code ", code), wantCode(err, code, "why: é"))
	}
	report("unknown service", wantCode(callError(client, "no.Such", "X", &Any{}), codes.Unimplemented, "service no.Such"))
	report("unknown method", wantCode(callError(client, service, "Nope", &Any{}), codes.Unimplemented, "method Nope"))
	tooBig := "exceed maximum message size of 4194304"
	report("answer too big", wantCode(callError(client, service, "Big", &Any{TypeUrl: "4194304"}), codes.ResourceExhausted, tooBig))
	report("request too big", wantCode(callError(client, service, "Unary", &Any{Value: make([]byte, 4<<20)}), codes.ResourceExhausted, tooBig))
	report("deadline", checkDeadline(client))
	report("metadata", checkMetadata(client))
	checkStreams(client)
	report("echo after all of this", checkEcho(client, 10))
	done := make(chan error, 1)
	go func() { done <- callError(client, service, "Wait", &Any{}) }()
	time.Sleep(50 * time.Millisecond)
	client.Close()
	err := <-done
	if err == nil || !errors.Is(err, ttrpc.ErrClosed) {
		report("closed", fmt.Errorf("got %v", err))
	} else {
		report("closed", nil)
	}
}
