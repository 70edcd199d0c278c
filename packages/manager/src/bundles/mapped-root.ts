/**
 * The host's gid of a user namespace's root group, which has to reach the rootfs through the bundle; 0 where root is root. A spec that is none
 * is the shim's to refuse.
 */
export function mappedRootGid(configJson: string | Uint8Array): number {
  const linux = member(parse(configJson), "linux");
  const mappings = member(linux, "gidMappings");
  const root = Array.isArray(mappings) ? mappings.find((each) => member(each, "containerID") === 0) : undefined;
  const gid = member(root, "hostID");
  return typeof gid === "number" && Number.isInteger(gid) && gid > 0 && gid < 0xffffffff ? gid : 0;
}

function parse(configJson: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof configJson === "string" ? configJson : Buffer.from(configJson).toString());
  } catch {
    return undefined;
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
