import type { containerd } from "@trimaran/proto";
import type { Identifier } from "../bundles/identifier.ts";
import { Code, ManagerError, messageOf, StatusError } from "../errors/manager-error.ts";
import type { SandboxRecord } from "../metadata/sandboxes.ts";
import { StepError } from "../tasks/step-error.ts";
import type { RunningSandbox, SandboxRegistry } from "./sandbox-registry.ts";

const UNDO_TIMEOUT_MS = 5000;

/** A sandbox that a client wants. */
export interface WantedSandbox {
  readonly namespace: Identifier;
  readonly id: Identifier;
  /** What goes on to the shim. */
  readonly request: Pick<
    containerd.services.sandbox.v1.ControllerCreateRequest,
    "rootfs" | "options" | "netnsPath" | "annotations"
  >;
  /** Its runtime, and its spec if it has one. */
  readonly record: SandboxRecord | undefined;
  readonly signal: AbortSignal;
}

/** A shim by the record's runtime, and CreateSandbox. Throws InvalidArgument, AlreadyExists, and the shim's code. */
export async function createSandbox(sandboxes: SandboxRegistry, wanted: WantedSandbox): Promise<void> {
  const { namespace, id, request, record, signal } = wanted;
  const { rootfs, options, netnsPath, annotations } = request;
  const runtime = record?.runtime?.name ?? "";
  if (runtime === "") throw new ManagerError(Code.InvalidArgument, "sandbox.runtime.name: is empty");
  const created = sandboxes.create({
    namespace,
    id,
    runtime,
    options: record?.runtime?.options,
    configJson: record?.spec?.value,
    signal,
    async create({ bundle, connection }) {
      const asked = { sandboxId: id, bundlePath: bundle.path, rootfs, options, netnsPath, annotations };
      await naming(`create sandbox ${id}`, connection.sandbox.createSandbox(asked, { signal }));
    },
  });
  await created.catch((error: unknown) => {
    if (!(error instanceof StepError)) throw error;
    const message = `failed to start new shim for sandbox ${id}: ${error.message}`;
    throw new ManagerError(Code.Unknown, message, { cause: error });
  });
}

/** StartSandbox; a sandbox that does not start is ended. */
export async function startSandbox(sandboxes: SandboxRegistry, running: RunningSandbox, signal: AbortSignal) {
  const sandboxId = running.bundle.id;
  const { sandbox } = running.connection;
  try {
    return await naming(`start sandbox ${sandboxId}`, sandbox.startSandbox({ sandboxId }, { signal }));
  } catch (error) {
    await sandbox.shutdownSandbox({ sandboxId }, { timeoutMs: UNDO_TIMEOUT_MS }).catch(() => {});
    await sandboxes.remove(running);
    throw error;
  }
}

/** What a shim was asked to do, named in its error as containerd names it; the code stays. */
export async function naming<T>(what: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const code = error instanceof StatusError ? error.code : Code.Unknown;
    throw new ManagerError(code, `failed to ${what}: ${messageOf(error)}`, { cause: error });
  }
}
