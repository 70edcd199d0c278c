import type { CliContext } from "../cli-context.ts";
import { ProgressDisplay } from "./progress-display.ts";

/** A transfer that is shown, and that Ctrl-C ends in good order. */
export interface TransferUnderWay extends Disposable {
  readonly progress: ProgressDisplay["listener"] | undefined;
  readonly signal: AbortSignal;
}

/** Show a transfer on stderr, unless `quiet`, and abort it at SIGINT or SIGTERM, until disposed. */
export function beginTransfer({ process, signals }: CliContext, quiet: boolean): TransferUnderWay {
  const controller = new AbortController();
  const display = new ProgressDisplay(process.stderr);
  const listening = signals.listen(["SIGINT", "SIGTERM"], () => controller.abort(new Error("interrupted")));
  return {
    progress: quiet ? undefined : display.listener,
    signal: controller.signal,
    [Symbol.dispose]: () => {
      listening[Symbol.dispose]();
      display[Symbol.dispose]();
    },
  };
}
