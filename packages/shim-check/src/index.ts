export { Bundle } from "./bundle/bundle.ts";
export { type BundleOptions, ociProcess } from "./bundle/oci-spec.ts";
export { makeRootfs } from "./bundle/rootfs.ts";
export { type Area, type Check, isFault } from "./checks/check.ts";
export { CHECKS } from "./checks/index.ts";
export { DEVIATIONS, type Deviation } from "./deviations.ts";
export { cgroupsOf, mountsOf, type ProcessEntry, processesOf, type Scope, socketPath } from "./host/belongings.ts";
export { removeAll, removeCgroups } from "./host/clean-up.ts";
export type { Target } from "./lab/target.ts";
export { checksPage } from "./report/checks-page.ts";
export { headText, listText, type ReportStyle, resultJson, resultText, summary, summaryText } from "./report/report.ts";
export { type Choice, chooseChecks, type Result, type RunOptions, runChecks, type Verdict } from "./run.ts";
export { type Deleted, runDelete, Shim } from "./shim/client.ts";
export { FakeContainerd, type RecordedEvent } from "./shim/fake-containerd.ts";
export { findShim } from "./shim/find-shim.ts";
export { type Identity, identify } from "./shim/identity.ts";
export { parseRuntimeOptions } from "./shim/runtime-options.ts";
export {
  commandLine,
  type Invocation,
  type Invoke,
  invoke,
  type ShimOptions,
  type StartReply,
  type StartStyle,
} from "./shim/start.ts";
