import { Code, ManagerError } from "../errors/manager-error.ts";
import type { OciUser } from "./oci-spec.ts";

/** The two files of the rootfs that give names their numbers; undefined where the rootfs has none. */
export interface AccountFiles {
  readonly passwd: string | undefined;
  readonly group: string | undefined;
}

const MAX_ID = 2 ** 32 - 2;

/**
 * `USER[:GROUP]` to numbers, each part a name or a number; "" is root. What is a number is never looked up as a name: the files are the image's. A user without a group gets the group of passwd, and the
 * supplementary ones of the group file, as docker and containerd do. Throws InvalidArgument for an unknown name.
 */
export function resolveUser(text: string, files: AccountFiles): OciUser {
  if (text === "") return { uid: 0, gid: 0 };
  const [userPart = "", groupPart] = text.split(":", 2);
  const number = idOf("process.user", userPart);
  const account = parsePasswd(files.passwd ?? "").find(({ name, uid }) =>
    number === undefined ? name === userPart : uid === number,
  );
  const uid = number ?? account?.uid;
  if (uid === undefined) throw unknownName("process.user", userPart, "/etc/passwd");
  if (groupPart !== undefined) return { uid, gid: resolveGroup(groupPart, files.group ?? "") };
  const gid = account?.gid ?? 0;
  const supplementary = parseGroups(files.group ?? "")
    .filter(({ members, gid: other }) => account !== undefined && other !== gid && members.includes(account.name))
    .map((group) => group.gid);
  return supplementary.length > 0 ? { uid, gid, additionalGids: supplementary } : { uid, gid };
}

function resolveGroup(text: string, groupFile: string): number {
  const gid = idOf("process.user group", text) ?? parseGroups(groupFile).find(({ name }) => name === text)?.gid;
  if (gid === undefined) throw unknownName("process.user group", text, "/etc/group");
  return gid;
}

function parsePasswd(text: string): { name: string; uid: number; gid: number }[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , uid = "", gid = ""] = line.split(":");
    const [uidNumber, gidNumber] = [parseId(uid), parseId(gid)];
    return uidNumber === undefined || gidNumber === undefined ? [] : [{ name, uid: uidNumber, gid: gidNumber }];
  });
}

function parseGroups(text: string): { name: string; gid: number; members: string[] }[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , gid = "", members = ""] = line.split(":");
    const number = parseId(gid);
    return number === undefined ? [] : [{ name, gid: number, members: members.split(",") }];
  });
}

function parseId(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined;
}

/** Undefined for a name. Throws InvalidArgument for a number that is no id: 0 to 2³²−2. */
function idOf(field: string, text: string): number | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  const id = parseId(text.replace(/^0+(?=\d)/, ""));
  if (id !== undefined) return id;
  throw new ManagerError(Code.InvalidArgument, `${field} ${JSON.stringify(text)}: not between 0 and ${MAX_ID}`);
}

function unknownName(field: string, name: string, file: string): ManagerError {
  return new ManagerError(Code.InvalidArgument, `${field} ${JSON.stringify(name)}: not in the rootfs's ${file}`);
}
