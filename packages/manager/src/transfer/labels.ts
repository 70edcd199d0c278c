import { Code, hasCode } from "../errors/manager-error.ts";
import { callOptions, type TransferContext } from "./transfer-context.ts";

/** Set labels of a blob; others stay. */
export async function labelBlob(
  context: TransferContext,
  digest: string,
  labels: Readonly<Record<string, string>>,
): Promise<void> {
  const paths = Object.keys(labels).map((key) => `labels.${key}`);
  if (paths.length === 0) return;
  const info = { digest, labels };
  await context.services.content.update({ info, updateMask: { paths } }, callOptions(context));
}

const SOURCE_PREFIX = "containerd.io/distribution.source.";
const LABEL_LIMIT_BYTES = 4096;

/** The label that says from which repositories of a host a blob came. The port is not part of it. */
function sourceLabel(host: string): string {
  return SOURCE_PREFIX + host.replace(/:\d+$/, "");
}

/** Note that a repository has a blob: a later push to the same registry can mount it from there. */
export async function addSource(
  context: TransferContext,
  digest: string,
  host: string,
  repository: string,
): Promise<void> {
  const key = sourceLabel(host);
  const known = await sourcesOf(context, digest, host);
  if (known.includes(repository)) return;
  const value = [...known, repository].sort().join(",");
  if (key.length + value.length <= LABEL_LIMIT_BYTES) await labelBlob(context, digest, { [key]: value });
}

/** Repositories of a host that have, or had, a blob. Empty, too, if the blob is not there. */
export async function sourcesOf(context: TransferContext, digest: string, host: string): Promise<string[]> {
  try {
    const { info } = await context.services.content.info({ digest }, callOptions(context));
    return (info?.labels[sourceLabel(host)] ?? "").split(",").filter((name) => name !== "");
  } catch (error) {
    if (hasCode(error, Code.NotFound)) return [];
    throw error;
  }
}
