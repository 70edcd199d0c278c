import { run, runOk } from "./process.ts";

/** One of two pods that are joined by a cable. */
export interface CabledPod {
  /** Path of its network namespace. */
  readonly namespace: string;
  readonly address: string;
}

/** Two network namespaces, as a network plugin leaves them: eth0 with an address, up. Gone when it is disposed. */
export interface PodNetworks extends AsyncDisposable {
  readonly pods: readonly [CabledPod, CabledPod];
  /** `ip link` in one of them. */
  links(index: 0 | 1): Promise<string>;
}

/** Make both. `tag` is part of the namespaces' names. */
export async function openPodNetworks(tag: string): Promise<PodNetworks> {
  const names = [`${tag}a`, `${tag}b`] as const;
  await using undo = new AsyncDisposableStack();
  for (const name of names) {
    await runOk(["ip", "netns", "add", name]);
    undo.defer(async () => void (await run(["ip", "netns", "del", name])));
  }
  await runOk(["ip", "-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1]]);
  const pods = [await plugIn(names[0], "10.9.8.1"), await plugIn(names[1], "10.9.8.2")] as const;
  const opened = undo.move();
  return {
    pods,
    links: (index) => runOk(["ip", "-n", names[index], "link"]),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function plugIn(name: string, address: string): Promise<CabledPod> {
  await runOk(["ip", "-n", name, "addr", "add", `${address}/24`, "dev", "eth0"]);
  await runOk(["ip", "-n", name, "link", "set", "eth0", "up", "mtu", "1400"]);
  return { namespace: `/run/netns/${name}`, address };
}
