import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import {
  chooseChecks,
  findShim,
  headText,
  identify,
  listText,
  makeRootfs,
  parseRuntimeOptions,
  resultJson,
  resultText,
  runChecks,
  type StartStyle,
  summary,
  summaryText,
} from "@trimaran/shim-check";
import type { CliContext } from "../cli-context.ts";
import { ExitError, FAILED } from "../exit-code.ts";
import { command } from "../report-error.ts";

export interface CheckFlags {
  readonly only?: readonly string[];
  readonly faults: boolean;
  readonly slow: boolean;
  readonly list: boolean;
  readonly json: boolean;
  readonly verbose: boolean;
  readonly as: StartStyle;
  readonly jobs: number;
  /** In seconds. */
  readonly timeout: number;
  readonly options?: string;
  readonly rootfs?: string;
}

const SOME_FAILED = 1;

/** `trimaran check`: 0 if the shim keeps every rule, or breaks only such as it is known to break; else 1. */
export const check = command<CheckFlags, string[]>("check", async (context, flags, [shim]) => {
  const { only, faults, slow, list } = flags;
  const checks = chooseChecks({ faults: faults || list, slow: slow || list, ...(only && { only }) });
  const { stdout } = context.process;
  if (list) {
    if (flags.json) for (const { run: _run, ...rule } of checks) stdout.write(`${JSON.stringify(rule)}\n`);
    else stdout.write(listText(checks));
    return 0;
  }
  if (shim === undefined)
    throw new ExitError(FAILED, new RangeError("no shim: a path, or a name like io.containerd.runc.v2"));
  if (process.getuid?.() !== 0) throw new ExitError(FAILED, new RangeError("needs root, as containerd does"));
  const binary = await findShim(shim, [...(context.environment.PATH ?? "").split(":"), context.binDirectory]);
  const identity = await identify(binary);
  const began = performance.now();
  await using rootfs = await openRootfs(flags.rootfs);
  const options = flags.options === undefined ? undefined : parseRuntimeOptions(flags.options);
  const target = {
    binary,
    style: flags.as,
    rootfs: rootfs.path,
    limitMs: flags.timeout * 1000,
    ...(options && { options }),
  };
  if (!flags.json) stdout.write(headText(binary, identity, flags.as, checks.length));
  const style = { colour: isColoured(context), verbose: flags.verbose };
  const abort = new AbortController();
  using _signals = context.signals.listen(["SIGINT", "SIGTERM"], () => abort.abort());
  const results = await runChecks(target, identity, checks, {
    jobs: flags.jobs,
    signal: abort.signal,
    onResult: (result) =>
      stdout.write(flags.json ? `${JSON.stringify(resultJson(result))}\n` : resultText(result, style)),
  });
  if (!flags.json) stdout.write(summaryText(results, performance.now() - began));
  if (abort.signal.aborted) throw new ExitError(FAILED, new RangeError("interrupted"));
  return summary(results).failed === 0 ? 0 : SOME_FAILED;
});

/** The given folder, or one that is made of busybox and goes with its disposal. */
async function openRootfs(given: string | undefined): Promise<AsyncDisposable & { readonly path: string }> {
  if (given !== undefined) return { path: resolve(given), [Symbol.asyncDispose]: async () => undefined };
  const path = await mkdtemp(join(tmpdir(), "shim-check-rootfs-"));
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(path, { recursive: true, force: true }));
  await makeRootfs(path);
  const made = undo.move();
  return { path, [Symbol.asyncDispose]: () => made.disposeAsync() };
}

function isColoured({ process: { stdout }, environment }: CliContext): boolean {
  return "isTTY" in stdout && stdout.isTTY === true && environment.NO_COLOR === undefined;
}
