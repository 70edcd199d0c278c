import { ANY, containerd, type google, packAny, runtimeoptions } from "@trimaran/proto";

const CODECS = {
  [ANY.runcOptions]: containerd.runc.v1.Options,
  [ANY.runtimeOptions]: runtimeoptions.v1.Options,
} as const;

/**
 * Runtime options as `TYPE=JSON`, with the field names of the protobuf file: `containerd.runc.v1.Options={"binary_name":"crun"}`, or
 * `runtimeoptions.v1.Options={"type_url":"…","config_path":"/etc/x.toml"}`; a `config_body` is text. Throws RangeError if the type or a
 * field is unknown.
 */
export function parseRuntimeOptions(text: string): google.protobuf.Any {
  const [, type = "", json = ""] = /^([\w.]+)=(.*)$/s.exec(text) ?? [];
  if (type !== ANY.runcOptions && type !== ANY.runtimeOptions)
    throw new RangeError(`options "${type || text}": not TYPE=JSON with one of ${Object.keys(CODECS).join(", ")}`);
  const known = CODECS[type].decode(new Uint8Array());
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parseObject(json))) {
    const key = name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    if (!(key in known)) throw new RangeError(`options: ${type} has no field "${name}"`);
    given[key] = key === "configBody" ? Buffer.from(String(value)) : value;
  }
  return packAny(type, CODECS[type].encode(given));
}

function parseObject(json: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // said below
  }
  throw new RangeError(`options ${JSON.stringify(json)}: not a JSON object`);
}
