import { ANY, containerd, runtimeoptions, WireError } from "@trimaran/proto";
import { StatusError } from "ttrpc-ts";
import { parseFlags, UsageError } from "../src/oci/flags.ts";
import { parseSignal } from "../src/oci/signals.ts";
import { checkId } from "../src/oci/store.ts";
import { parseOptions } from "../src/options.ts";

const TABLE = { root: "text", debug: "boolean", env: "list", user: "text" } as const;
const toml = (text: string) => runtimeoptions.v1.Options.encode({ configBody: Buffer.from(text) });
const isUsage = (error: unknown) => error instanceof UsageError;
const refuses = (error: unknown) => error instanceof StatusError || error instanceof WireError;

/** Everything here that reads what a caller brings. */
export const parsers = [
  {
    name: "oci-arguments",
    seeds: ["--root\0/r\0--debug\0run\0id", "-e\0A=b\0--user=1:2\0--\0sh"],
    run: (input: Buffer) => parseFlags(input.toString().split("\0"), TABLE, { e: "env" }),
    expects: isUsage,
  },
  {
    name: "oci-signal",
    seeds: ["KILL", "SIGTERM", "9"],
    run: (input: Buffer) => parseSignal(input.toString()),
    expects: (error: unknown) => error instanceof Error && error.constructor !== TypeError,
  },
  {
    name: "oci-id",
    seeds: ["web", "a+b"],
    run: (input: Buffer) => {
      const id = input.toString();
      checkId(id);
      if (/[/\0\n]/.test(id) || id === "..") throw new TypeError(id);
    },
    expects: (error: unknown) => !(error instanceof TypeError),
  },
  ...[
    {
      name: "options-runc",
      typeUrl: ANY.runcOptions,
      seeds: [containerd.runc.v1.Options.encode({ ioUid: 5, shimCgroup: "/x" })],
    },
    { name: "options-toml", typeUrl: ANY.runtimeOptions, seeds: [toml('NoNewKeyring = true\nShimCgroup = "x"\n')] },
  ].map(({ name, typeUrl, seeds }) => ({
    name,
    seeds,
    run: (input: Buffer) => parseOptions([{ typeUrl, value: input }]),
    expects: refuses,
  })),
];
