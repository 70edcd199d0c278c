//go:build !ttrpc11

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

type Any = anypb.Any

// upload counts the client's messages and bytes.
func upload(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
	messages, bytes := 0, 0
	for {
		var in Any
		err := stream.RecvMsg(&in)
		if errors.Is(err, io.EOF) {
			return &Any{TypeUrl: fmt.Sprintf("%d messages, %d bytes", messages, bytes)}, nil
		}
		if err != nil {
			return nil, err
		}
		messages++
		bytes += len(in.Value)
	}
}

// download sends as many messages as type_url says; value, if any, is the text of the error at the end.
func download(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
	var in Any
	if err := stream.RecvMsg(&in); err != nil {
		return nil, err
	}
	count, err := strconv.Atoi(in.TypeUrl)
	if err != nil {
		return nil, err
	}
	for i := 0; i < count; i++ {
		if err := stream.SendMsg(&Any{TypeUrl: fmt.Sprint(i)}); err != nil {
			return nil, err
		}
	}
	if len(in.Value) > 0 {
		return nil, status.Error(codes.Aborted, string(in.Value))
	}
	return nil, nil
}

// chat answers each message with itself; a type_url of "fail" ends the stream with an error, "bye" without.
func chat(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
	for {
		var in Any
		err := stream.RecvMsg(&in)
		if errors.Is(err, io.EOF) || in.TypeUrl == "bye" {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if in.TypeUrl == "fail" {
			return nil, status.Error(codes.Aborted, "as asked")
		}
		if err := stream.SendMsg(&in); err != nil {
			return nil, err
		}
	}
}

func register(server *ttrpc.Server, methods map[string]ttrpc.Method) {
	server.RegisterService(service, &ttrpc.ServiceDesc{
		Methods: methods,
		Streams: map[string]ttrpc.Stream{
			"Upload":   {Handler: upload, StreamingClient: true},
			"Download": {Handler: download, StreamingServer: true},
			"Chat":     {Handler: chat, StreamingClient: true, StreamingServer: true},
		},
	})
}

func open(client *ttrpc.Client, method string, desc ttrpc.StreamDesc, in interface{}) ttrpc.ClientStream {
	stream, err := client.NewStream(context.Background(), &desc, service, method, in)
	must(err)
	return stream
}

func checkUpload(client *ttrpc.Client) error {
	stream := open(client, "Upload", ttrpc.StreamDesc{StreamingClient: true}, nil)
	for i := 0; i < 1000; i++ {
		if err := stream.SendMsg(&Any{Value: make([]byte, i)}); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var out Any
	if err := stream.RecvMsg(&out); err != nil {
		return err
	}
	if out.TypeUrl != "1000 messages, 499500 bytes" {
		return fmt.Errorf("got %q", out.TypeUrl)
	}
	return nil
}

func checkDownload(client *ttrpc.Client, count int, failure string) error {
	in := &Any{TypeUrl: fmt.Sprint(count), Value: []byte(failure)}
	stream := open(client, "Download", ttrpc.StreamDesc{StreamingServer: true}, in)
	for i := 0; ; i++ {
		var out Any
		err := stream.RecvMsg(&out)
		if err != nil {
			if i != count {
				return fmt.Errorf("%d messages, then %v", i, err)
			}
			if failure != "" {
				return wantCode(err, codes.Aborted, failure)
			}
			if !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		}
		if out.TypeUrl != fmt.Sprint(i) {
			return fmt.Errorf("message %d is %q", i, out.TypeUrl)
		}
	}
}

func checkChat(client *ttrpc.Client, rounds int, end string) error {
	stream := open(client, "Chat", ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, nil)
	for i := 0; i < rounds; i++ {
		var out Any
		if err := stream.SendMsg(&Any{TypeUrl: fmt.Sprint("round ", i)}); err != nil {
			return err
		}
		if err := stream.RecvMsg(&out); err != nil {
			return err
		}
		if out.TypeUrl != fmt.Sprint("round ", i) {
			return fmt.Errorf("got %q in round %d", out.TypeUrl, i)
		}
	}
	var err error
	if end == "" {
		err = stream.CloseSend()
	} else {
		err = stream.SendMsg(&Any{TypeUrl: end})
	}
	if err != nil {
		return err
	}
	err = stream.RecvMsg(&Any{})
	if end == "fail" {
		return wantCode(err, codes.Aborted, "as asked")
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("at the end: %v", err)
	}
	return nil
}

func checkStreams(client *ttrpc.Client) {
	report("stream upload", checkUpload(client))
	report("stream download", checkDownload(client, 60, ""))
	report("stream download of nothing", checkDownload(client, 0, ""))
	report("stream download with an error", checkDownload(client, 3, "too late"))
	report("stream chat, client ends", checkChat(client, 100, ""))
	report("stream chat, server ends", checkChat(client, 3, "bye"))
	report("stream chat, server fails", checkChat(client, 3, "fail"))
	for i := 0; i < 50; i++ {
		if err := checkChat(client, 20, ""); err != nil {
			report("stream chat again", err)
			return
		}
	}
	report("stream chat again", nil)
}
