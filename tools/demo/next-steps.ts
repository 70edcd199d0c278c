import { join } from "node:path";
import type { Printer } from "./print.ts";

/** What to type after the demo. */
export function printNextSteps(print: Printer, checkout: string): void {
  const trimaran = join(checkout, "build/bin/trimaran");
  print.title("Try next");
  print.line(`  ${trimaran} run --rm -t -i ROOTFS-OR-IMAGE.tar sh`);
  print.line(`  ${trimaran} ps -a`);
  print.line("  npm start -- --runtime io.containerd.runc.v2      the same through upstream's shim and runc");
  print.line();
  print.line("  For containerd, install and add to /etc/containerd/config.toml:");
  print.line(`  ${trimaran} install`);
  print.line();
  print.line("  version = 2");
  print.line('  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.trimaran-runc]');
  print.line('    runtime_type = "io.containerd.trimaran-runc.v2"');
  print.line();
  print.line("  ctr run --rm --runtime io.containerd.trimaran-runc.v2 -t docker.io/library/busybox:latest demo sh");
}
