import { Code, ManagerError } from "../../errors/manager-error.ts";
import { TarError } from "../tar/tar-header.ts";
import { LayerError } from "../unpack/layer-error.ts";
import type { ThrownError } from "./layer-job.ts";

/** The system refused something that a layer thread asked for. */
export class LayerSystemError extends Error {
  override readonly name = "LayerSystemError";
  /** "ENOSPC", if it was a system call. */
  readonly code: string | undefined;

  constructor(message: string, code: string | undefined) {
    super(message);
    this.code = code;
  }
}

/** An error as it goes to another thread. */
export function toThrown(error: unknown): ThrownError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error), code: undefined };
  const code = "code" in error && ["string", "number"].includes(typeof error.code) ? (error.code as string) : undefined;
  return { name: error.name, message: error.message, code };
}

/** The error that a layer thread has thrown, with its class: TarError, LayerError, ManagerError, or LayerSystemError. */
export function fromThrown({ name, message, code }: ThrownError): Error {
  if (name === "TarError") return new TarError(message);
  if (name === "LayerError") return new LayerError(message);
  if (name === "StatusError") return new ManagerError(Code.InvalidArgument, message);
  return new LayerSystemError(message, typeof code === "string" ? code : undefined);
}
