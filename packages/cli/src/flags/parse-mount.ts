import { isAbsolute, resolve } from "node:path";
import type { OciMount } from "@trimaran/manager";

/**
 * `type=bind,src=/host,dst=/data,options=ro:nosuid`, as with ctr; docker's `source`, `target`, `destination`, `readonly` and a
 * bare `ro` are understood too. A bind without `rbind` or `bind` gets rbind. Throws RangeError naming the key.
 */
export function parseMount(text: string): OciMount {
  const fields = new Map<string, string>();
  const options: string[] = [];
  for (const part of text.split(",")) {
    const [key = "", ...rest] = part.split("=");
    const value = rest.join("=");
    switch (key) {
      case "type":
        fields.set("type", value);
        break;
      case "src":
      case "source":
        fields.set("source", value);
        break;
      case "dst":
      case "target":
      case "destination":
        fields.set("destination", value);
        break;
      case "options":
        options.push(...value.split(":").filter(Boolean));
        break;
      case "ro":
      case "readonly":
        options.push("ro");
        break;
      default:
        throw new RangeError(`${JSON.stringify(key)} is unknown; one of type, src, dst, options`);
    }
  }
  return finishMount(fields, options);
}

function finishMount(fields: ReadonlyMap<string, string>, options: string[]): OciMount {
  const type = fields.get("type") ?? "bind";
  const destination = fields.get("destination") ?? "";
  if (!isAbsolute(destination)) throw new RangeError(`dst ${JSON.stringify(destination)}: not an absolute path`);
  const source = fields.get("source") ?? (type === "bind" ? "" : type);
  if (type !== "bind") return { destination, type, source, options };
  if (source === "") throw new RangeError("src is missing");
  if (!options.includes("bind") && !options.includes("rbind")) options.unshift("rbind");
  return { destination, type, source: resolve(source), options };
}
