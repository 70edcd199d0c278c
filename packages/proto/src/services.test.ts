import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServiceDescriptor } from "./codec.ts";
import * as services from "./services.ts";

const tables = Object.values<ServiceDescriptor>(services);

test("names are the wire's, and no table is there twice", () => {
  const names = tables.map((table) => table.name);
  assert.equal(new Set(names).size, names.length);
  const manager = names.filter((name) => name.startsWith("containerd.services.")).sort();
  assert.deepEqual(manager, [
    "containerd.services.containers.v1.Containers",
    "containerd.services.content.v1.Content",
    "containerd.services.diff.v1.Diff",
    "containerd.services.events.ttrpc.v1.Events",
    "containerd.services.events.v1.Events",
    "containerd.services.images.v1.Images",
    "containerd.services.introspection.v1.Introspection",
    "containerd.services.leases.v1.Leases",
    "containerd.services.namespaces.v1.Namespaces",
    "containerd.services.sandbox.v1.Controller",
    "containerd.services.sandbox.v1.Store",
    "containerd.services.snapshots.v1.Snapshots",
    "containerd.services.streaming.v1.Streaming",
    "containerd.services.tasks.v1.Tasks",
    "containerd.services.transfer.v1.Transfer",
    "containerd.services.version.v1.Version",
  ]);
});

test("streams are marked, and everything else is unary", () => {
  const streams = tables.flatMap((table) =>
    Object.values(table.methods)
      .filter((method) => method.clientStreaming || method.serverStreaming)
      .map((method) => `${table.name}/${method.name} ${method.clientStreaming ? "both" : "server"}`),
  );
  assert.deepEqual(streams.sort(), [
    "containerd.services.containers.v1.Containers/ListStream server",
    "containerd.services.content.v1.Content/List server",
    "containerd.services.content.v1.Content/Read server",
    "containerd.services.content.v1.Content/Write both",
    "containerd.services.events.v1.Events/Subscribe server",
    "containerd.services.snapshots.v1.Snapshots/List server",
    "containerd.services.streaming.v1.Streaming/Stream both",
    "grpc.health.v1.Health/Watch server",
  ]);
});
