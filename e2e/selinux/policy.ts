import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ensureSecilc } from "../../tools/debian.ts";

/** Initial SIDs of the kernel, in its order. Source: security/selinux/include/initial_sid_to_string.h. */
const SIDS = ["kernel", "security", "unlabeled", "fs", "file", "file_labels", "init", "any_socket", "port", "netif"]
  .concat(["netmsg", "node", "igmp_packet", "icmp_socket", "tcp_socket", "sysctl_modprobe", "sysctl", "sysctl_fs"])
  .concat(["sysctl_kernel", "sysctl_net", "sysctl_net_unix", "sysctl_vm", "sysctl_dev", "kmod", "policy"])
  .concat(["scmp_packet", "devnull"]);
const TYPES = ["kernel_t", "container_t", "other_t", "container_file_t"];

const CONTEXT = "(u r kernel_t ((s0) (s0)))";
/** Without a word on it a filesystem takes no label. */
const LABELLED = ["mqueue", "devpts", "tmpfs"];

/** The smallest policy that has labels: it knows some types, and forbids nothing. */
const POLICY = `
(handleunknown allow)
(mls false)
(policycap nnp_nosuid_transition)
(class process (transition dyntransition))
(class process2 (nnp_transition nosuid_transition))
(class file (entrypoint))
(class dir (search))
(classorder (process process2 file dir))
${SIDS.map((sid) => `(sid ${sid})`).join("\n")}
(sidorder (${SIDS.join(" ")}))
(sensitivity s0)
(sensitivityorder (s0))
(category c0)
(categoryorder (c0))
(sensitivitycategory s0 (c0))
(user u)
(role r)
(userrole u r)
(userlevel u (s0))
(userrange u ((s0) (s0 (c0))))
${TYPES.map((type) => `(type ${type})\n(roletype r ${type})`).join("\n")}
(allow kernel_t kernel_t (process (transition)))
${SIDS.map((sid) => `(sidcontext ${sid} ${CONTEXT})`).join("\n")}
${LABELLED.map((name) => `(fsuse trans ${name} ${CONTEXT})`).join("\n")}
`;

/** Compile the policy below a folder, and give it to the kernel, whose selinuxfs is mounted. It stays permissive. */
export async function loadPolicy(folder: string): Promise<void> {
  const [source, binary] = [join(folder, "policy.cil"), join(folder, "policy.33")];
  await writeFile(source, POLICY);
  await promisify(execFile)(await ensureSecilc(), ["-c", "33", "-f", "/dev/null", "-o", binary, source]);
  await writeFile("/sys/fs/selinux/load", await readFile(binary));
}

/** A label of that policy. */
export function label(type: "container_t" | "other_t" | "container_file_t"): string {
  return `u:r:${type}`;
}
