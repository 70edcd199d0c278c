import assert from "node:assert/strict";
import { test } from "node:test";
import { ContainerCgroups } from "@trimaran/shim-core";
import { MachineGuest } from "../machine/machine-guest.ts";
import { podPlaces } from "../machine/places.ts";
import { shareLayout } from "../storage/layout.ts";
import { Monitored } from "../testing/monitored.ts";
import { Sandbox } from "./sandbox.ts";

test("a machine that the monitor has dropped, in a removal that a crash cut short, is one that has ended", {
  timeout: 20_000,
}, async () => {
  await using monitored = await Monitored.open();
  const { host } = monitored;
  const places = podPlaces(monitored.folder, "tests", "pod");
  const binaries = { bridge: "/nonexistent", virtiofsd: "/nonexistent" };
  const plan = { pod: "pod", layout: shareLayout(places.directory), binaries, cgroup: { attachFiles: [] } };
  const parts = { places, host, namespace: "tests", podId: "pod", cgroups: new ContainerCgroups(), plan };
  const guest = new MachineGuest(parts);
  assert.equal(guest.vmm.hasExited, true);
  const sandbox = new Sandbox(guest, host);
  await assert.rejects(sandbox.agent.reach(60_000), /^StatusError: qemu: the machine was removed/);
  assert.ok(sandbox.execs);
  const entry = sandbox.execs.launch("init", new Uint8Array(), []);
  await assert.rejects(
    entry.reported(() => true),
    /^StatusError: qemu: the machine was removed/,
  );
  await guest.kill();
});
