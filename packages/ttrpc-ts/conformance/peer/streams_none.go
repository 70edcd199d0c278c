//go:build ttrpc11

package main

import (
	"github.com/containerd/ttrpc"
	gogo "github.com/gogo/protobuf/types"
)

type Any = gogo.Any

func register(server *ttrpc.Server, methods map[string]ttrpc.Method) {
	server.Register(service, methods)
}

// ttrpc 1.1 has no streams.
func checkStreams(*ttrpc.Client) {}
