import type { Cgroup, Container, CreateRequest, Host, MonitoredProcess, Runtime } from "@trimaran/shim-core";
import {
  ContainerCgroups,
  execKey,
  findProcess,
  initKey,
  launchProcess,
  readBundle,
  runShim,
} from "@trimaran/shim-core";

/** Runs what config.json says as a plain process of the host, in the rootfs as its directory. It isolates nothing. */
class HelloRuntime implements Runtime {
  readonly name = "io.containerd.hello.v1";
  readonly version = "1.0.0";
  readonly #cgroups = new ContainerCgroups();

  async create(request: CreateRequest, host: Host): Promise<Container> {
    const { bundle, stdio } = request;
    const spec = readBundle(bundle);
    const cgroup = this.#cgroups.make(request, spec, host);
    try {
      const launch = { container: request, process: spec.process, cwd: spec.rootfs, stdio, cgroup, gate: true };
      const init = await launchProcess(host, initKey(request.id), launch);
      host.recordProcess(bundle, init);
      return container(request, host, cgroup, init);
    } catch (error) {
      await cgroup.remove();
      host.clearUndo(bundle);
      throw error;
    }
  }

  recover(request: CreateRequest, host: Host): Container {
    const cgroup = this.#cgroups.find(request, readBundle(request.bundle));
    return container(request, host, cgroup, findProcess(host, initKey(request.id)));
  }
}

function container(request: CreateRequest, host: Host, cgroup: Cgroup, init: MonitoredProcess): Container {
  const cwd = readBundle(request.bundle).rootfs;
  return {
    init,
    endsWithInit: false, // without a pid namespace the others go on: the SDK calls killAll
    start: () => init.start(),
    exec: ({ id, spec, stdio }) =>
      launchProcess(host, execKey(request.id, id), { container: request, process: spec, cwd, stdio, cgroup }),
    killAll: async (signal) => (signal === 9 ? await cgroup.kill() : cgroup.signal(signal)),
    remove: () => cgroup.remove(),
    pids: () => cgroup.processes(),
    stats: () => cgroup.stats(),
    oomKills: () => cgroup.oomKills(),
  };
}

const { argv, env, pid, exit } = process;
runShim(new HelloRuntime(), { argv, env, pid, exit: (code) => exit(code), libraryDirectory: import.meta.dirname });
