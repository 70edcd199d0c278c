import { statSync } from "node:fs";
import { ANY, containerd, google, type introspectionV1, isAnyOf, packAny } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { parseFilters } from "../metadata/filters.ts";
import { type Plugin, RUNTIME_PLUGIN } from "./plugins.ts";

/** What the manager says of itself. */
export interface Introspection {
  /** Of the root directory, see `readServerId`. */
  readonly uuid: string;
  readonly plugins: readonly Plugin[];
  /** What a shim answers to `-info`, which is a `containerd.types.RuntimeInfo`; `options` is the Any for its stdin. */
  readonly runtimeInfo: (runtime: string, options: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>;
}

/** containerd.services.introspection.v1.Introspection. No namespace is needed. */
export function introspectionService(own: Introspection): Implementation<typeof introspectionV1> {
  return {
    plugins({ filters }) {
      const matches = parseFilters(filters);
      return { plugins: own.plugins.filter(({ type, id }) => matches({ type, id })) };
    },
    server: () => ({
      uuid: own.uuid,
      pid: BigInt(process.pid),
      pidns: statSync("/proc/self/ns/pid", { bigint: true }).ino,
    }),
    async pluginInfo({ type, id, options }, { signal }) {
      const plugin = own.plugins.find((each) => each.type === type && each.id === id);
      if (plugin === undefined) throw new ManagerError(Code.NotFound, `plugin ${type}.${id}: not found`);
      const isRuntime = type === RUNTIME_PLUGIN.type && id === RUNTIME_PLUGIN.id;
      if (!isRuntime || options === undefined) return { plugin };
      if (!isAnyOf(options, ANY.runtimeRequest)) {
        throw new ManagerError(Code.InvalidArgument, `options ${options.typeUrl}: not a ${ANY.runtimeRequest}`);
      }
      const request = containerd.types.RuntimeRequest.decode(options.value);
      const stdin = google.protobuf.Any.encode(request.options ?? {});
      const info = await own.runtimeInfo(request.runtimePath, stdin, signal);
      return { plugin, extra: packAny(ANY.runtimeInfo, info) };
    },
  };
}
