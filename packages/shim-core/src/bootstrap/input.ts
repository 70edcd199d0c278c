import { containerd, google } from "@trimaran/proto";

/** A typed blob: bare message name and its bytes. */
export interface TypedBytes {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** What the daemon said on the stdin of `start`. */
export interface StartInput {
  /** True where stdin held BootstrapParams (containerd 2.3 and later). */
  readonly bootstrapParams: boolean;
  /** Runtime options; an empty value means none. */
  readonly options: readonly TypedBytes[];
  readonly ttrpcAddress?: string;
  readonly socketDir?: string;
}

/**
 * Read the stdin of `start`: nothing, one Any with runtime options, or BootstrapParams. The two parse as each other, so it counts as
 * BootstrapParams only if id and namespace agree with the flags. Throws a decoding error on other bytes.
 * Source: contract section 2.4.
 */
export function parseStartInput(stdin: Uint8Array, expected: { id: string; namespace: string }): StartInput {
  if (stdin.length === 0) return { bootstrapParams: false, options: [] };
  const params = tryDecode(() => containerd.runtime.bootstrap.v1.BootstrapParams.decode(stdin));
  if (params && params.instanceId === expected.id && params.namespace === expected.namespace) {
    return {
      bootstrapParams: true,
      options: params.extensions.flatMap((extension) => typed(extension.value)),
      ...(params.containerdTtrpcAddress ? { ttrpcAddress: params.containerdTtrpcAddress } : {}),
      ...(params.socketDir ? { socketDir: params.socketDir } : {}),
    };
  }
  return { bootstrapParams: false, options: typed(google.protobuf.Any.decode(stdin)) };
}

function typed(any: { typeUrl: string; value: Uint8Array } | undefined): TypedBytes[] {
  return any?.value.length ? [{ typeUrl: any.typeUrl, value: any.value }] : [];
}

function tryDecode<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}
