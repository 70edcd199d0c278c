import { Code, StatusError } from "ttrpc-ts";

/** What containerd passes to a shim binary. Source: shim v2 README, "Commands"; observed argv in the contract, section 2.2. */
export interface ShimArguments {
  readonly action: string;
  readonly namespace: string;
  readonly id: string;
  readonly address: string;
  readonly publishBinary: string;
  readonly bundle: string;
  readonly debug: boolean;
  readonly version: boolean;
  readonly info: boolean;
}

const STRINGS = new Set(["namespace", "id", "address", "publish-binary", "bundle", "socket", "debug-socket"]);
const BOOLEANS = new Set(["debug", "v", "version", "info", "h", "help"]);

/**
 * Parse argv (without the program's name) by the rules of Go's flag package: `-x v`, `--x v`, `-x=v`; flags end at the first word.
 * Throws InvalidArgument on an unknown flag, a missing value or a boolean that is none.
 */
export function parseShimArguments(argv: readonly string[]): ShimArguments {
  const values = new Map<string, string>();
  let at = 0;
  for (; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (!word.startsWith("-") || word === "-") break;
    if (word === "--") {
      at++;
      break;
    }
    const text = word.replace(/^--?/, "");
    const equals = text.indexOf("=");
    const name = equals < 0 ? text : text.slice(0, equals);
    let value = equals < 0 ? undefined : text.slice(equals + 1);
    if (STRINGS.has(name)) {
      if (value === undefined) value = argv[++at];
      if (value === undefined) throw new StatusError(Code.InvalidArgument, `flag needs an argument: -${name}`);
    } else if (BOOLEANS.has(name)) {
      value ??= "true";
      if (!/^(1|0|t|f|true|false)$/i.test(value))
        throw new StatusError(Code.InvalidArgument, `flag -${name}: ${JSON.stringify(value)} is no boolean`);
    } else {
      throw new StatusError(Code.InvalidArgument, `flag -${name}: unknown`);
    }
    values.set(name, value);
  }
  const text = (name: string): string => values.get(name) ?? "";
  const flag = (name: string): boolean => /^(1|t|true)$/i.test(text(name));
  return {
    action: argv[at] ?? "",
    namespace: text("namespace"),
    id: text("id"),
    address: text("address"),
    publishBinary: text("publish-binary"),
    bundle: text("bundle"),
    debug: flag("debug"),
    version: flag("v") || flag("version"),
    info: flag("info"),
  };
}
