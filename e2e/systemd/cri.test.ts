import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { type CriBox, criMatrix } from "../harness/cri/matrix.ts";
import type { PodOptions } from "../harness/cri/pod.ts";
import { CONTROL, TRIMARAN } from "../harness/runtimes.ts";
import { showUnit, systemctl, unitsNamed } from "./unit.ts";

const MIB = 1 << 20;
const HANDLER = "systemd";

/** As the kubelet with `cgroupDriver: systemd` names them: by the pod's class and uid. */
function sliceOf(uid: string): string {
  return `kubepods-burstable-pod${uid.replaceAll("-", "_")}.slice`;
}

criMatrix(
  "CRI with SystemdCgroup = true",
  ({ withPod }) => {
    let uid = "";
    const options = ({ engine }: CriBox): Partial<PodOptions> => {
      uid = engine.newId();
      return { handler: HANDLER, network: "node", uid, cgroupParent: sliceOf(uid) };
    };
    withPod(
      "a pod's slice has a scope of each container; limits, update, exec, stats; a daemon-reload changes none",
      async (pod) => {
        const slice = sliceOf(uid);
        const path = `/kubepods.slice/kubepods-burstable.slice/${slice}`;
        const box = await pod.start("box", ["sleep", "1000"], { memoryLimitBytes: 64 * MIB });
        const scopes = pod.ids.map((id) => `cri-containerd-${id}.scope`);
        const [, scope = ""] = scopes;
        for (const unit of scopes) {
          const shown = await showUnit(unit, "ActiveState", "Slice", "ControlGroup", "Delegate");
          const expected = { ActiveState: "active", Slice: slice, ControlGroup: `${path}/${unit}`, Delegate: "yes" };
          assert.deepEqual(shown, expected);
        }
        const inForce = async () => [
          (await showUnit(scope, "MemoryMax")).MemoryMax,
          (await readFile(`/sys/fs/cgroup${path}/${scope}/memory.max`, "utf8")).trim(),
        ];
        assert.deepEqual(await inForce(), [String(64 * MIB), String(64 * MIB)]);
        await box.update({ memoryLimitInBytes: 96 * MIB });
        await systemctl("daemon-reload");
        assert.deepEqual(await inForce(), [String(96 * MIB), String(96 * MIB)]);
        const { stdout } = await box.exec(["cat", "/proc/self/cgroup"]);
        assert.equal(stdout.toString(), "0::/\n", "an exec is where init is: in the container's own cgroup namespace");
        assert.ok((await box.stats()).memoryBytes > 0);
        await box.stop(0);
        await box.remove();
        assert.deepEqual(await unitsNamed(scope), []);
        await pod.stop();
        assert.deepEqual(await unitsNamed(pod.id), []);
        await systemctl("stop", slice); // the kubelet's part
      },
      options,
    );

    withPod(
      "out of memory: the reason and 137; the scope is gone",
      async (pod) => {
        const eat = ["dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1"];
        const box = await pod.start("box", eat, { memoryLimitBytes: 32 * MIB });
        const { exitCode, reason } = await box.exited(120_000);
        assert.deepEqual([exitCode, reason], [137, "OOMKilled"]);
        assert.deepEqual(await unitsNamed(box.id), []);
        await pod.stop();
        await systemctl("stop", sliceOf(uid));
      },
      options,
    );
  },
  { runtimes: [CONTROL, TRIMARAN], hostNetwork: true, handlers: () => ({ [HANDLER]: { systemdCgroup: true } }) },
);
