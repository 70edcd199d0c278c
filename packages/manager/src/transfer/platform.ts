import { Code, ManagerError } from "../errors/manager-error.ts";

/** What an image runs on, in OCI's (Go's) names and normal form. Empty: not said. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
  readonly osVersion: string;
}

// Maps, because a document may say `constructor` or `__proto__`.
const ARCHITECTURES: ReadonlyMap<string, readonly [architecture: string, variant: string]> = new Map([
  ["x86_64", ["amd64", ""]],
  ["x86-64", ["amd64", ""]],
  ["i386", ["386", ""]],
  ["aarch64", ["arm64", ""]],
  ["armhf", ["arm", "v7"]],
  ["armel", ["arm", "v6"]],
]);
/** Variants that say nothing, because they are what the architecture means anyway. */
const PLAIN_VARIANTS: ReadonlyMap<string, readonly string[]> = new Map([
  ["amd64", ["v1"]],
  ["arm64", ["v8", "8"]],
]);
const NODE_ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le" };

/** The normal form: `x86_64` is amd64, arm without variant is v7, arm64's v8 and amd64's v1 go without saying. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase() === "macos" ? "darwin" : platform.os.toLowerCase();
  const given = platform.architecture.toLowerCase();
  const [architecture, implied] = ARCHITECTURES.get(given) ?? [given, ""];
  const stated = platform.variant.toLowerCase() || implied;
  const plain = PLAIN_VARIANTS.get(architecture)?.includes(stated) ?? false;
  const variant = plain ? "" : architecture === "arm" ? armVariant(stated) : stated;
  return { os, architecture, variant, osVersion: platform.osVersion };
}

function armVariant(variant: string): string {
  if (variant === "") return "v7";
  return /^\d/.test(variant) ? `v${variant}` : variant;
}

/** What this machine runs. */
export function hostPlatform(architecture: string = process.arch): Platform {
  const name = NODE_ARCHITECTURES[architecture] ?? architecture;
  return normalizePlatform({ os: "linux", architecture: name, variant: "", osVersion: "" });
}

/** `linux/arm/v7`. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === "" ? [] : [variant])].join("/");
}

/** From a document, or from the wire. Throws InvalidArgument. */
export function parsePlatform(value: unknown, field: string): Platform {
  const fields = typeof value === "object" && value !== null ? { ...(value as Record<string, unknown>) } : {};
  const text = (name: string): string => {
    const found = fields[name] ?? "";
    if (typeof found === "string") return found;
    throw new ManagerError(Code.InvalidArgument, `${field}.${name}: not a string`);
  };
  const osVersion = text("osVersion") || text("os.version");
  return normalizePlatform({ os: text("os"), architecture: text("architecture"), variant: text("variant"), osVersion });
}

/** What a platform can run, best first: itself, older variants, and the 32-bit architecture that most of its machines know. */
function runnable(wanted: Platform): readonly Platform[] {
  const { os, architecture, variant } = wanted;
  const make = (arch: string, ...variants: readonly string[]) =>
    variants.map((each): Platform => ({ os, architecture: arch, variant: each, osVersion: "" }));
  const down = (from: number, to: number) =>
    Array.from({ length: Math.max(from - to + 1, 0) }, (_, index) => `v${from - index}`);
  const level = Number(/^v(\d+)$/.exec(variant)?.[1] ?? Number.NaN);
  if (architecture === "arm") return make("arm", ...(level >= 5 && level <= 8 ? down(level, 5) : [variant]));
  if (architecture === "arm64") return [...make("arm64", variant, ""), ...make("arm", ...down(8, 5))];
  if (architecture !== "amd64") return make(architecture, variant);
  return [...make("amd64", ...(level >= 2 && level <= 9 ? down(level, 2) : [variant]), ""), ...make("386", "")];
}

/** How well `have` runs on `wanted`: 0 is best, undefined is not at all. */
export function platformRank(wanted: Platform, have: Platform): number | undefined {
  const rank = runnable(wanted).findIndex(
    (each) => each.os === have.os && each.architecture === have.architecture && each.variant === have.variant,
  );
  if (rank < 0) return undefined;
  return wanted.osVersion === "" || wanted.osVersion === have.osVersion ? rank : undefined;
}

/**
 * The items to take: for each wanted platform the one that fits best, the first of equals. No platforms wanted: all items.
 * What does not say its platform is taken where nothing else fits. In the order of the items.
 */
export function selectByPlatform<T>(
  items: readonly T[],
  wanted: readonly Platform[],
  platformOf: (item: T) => Platform | undefined,
): readonly T[] {
  if (wanted.length === 0) return items;
  const chosen = new Set(wanted.map((platform) => bestOf(items, platform, platformOf)));
  return items.filter((item) => chosen.has(item));
}

function bestOf<T>(
  items: readonly T[],
  wanted: Platform,
  platformOf: (item: T) => Platform | undefined,
): T | undefined {
  let best: { readonly item: T; readonly rank: number } | undefined;
  for (const item of items) {
    const have = platformOf(item);
    const rank = have === undefined ? Number.MAX_SAFE_INTEGER : platformRank(wanted, have);
    if (rank !== undefined && rank < (best?.rank ?? Number.POSITIVE_INFINITY)) best = { item, rank };
  }
  return best?.item;
}
