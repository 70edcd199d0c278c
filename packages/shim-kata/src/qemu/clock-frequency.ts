import { readFileSync } from "node:fs";

/**
 * How fast the host's time-stamp counter runs, in kHz; undefined where nothing tells. An emulated guest sees this counter: without the number it
 * measures it against an emulated timer, which on a busy host goes wrong now and then and leaves the guest hanging early in its boot.
 */
export function clockFrequencyKhz(root = "/"): number | undefined {
  const base = Number(read(`${root}sys/devices/system/cpu/cpu0/cpufreq/base_frequency`));
  if (base > 0) return base;
  const cpuinfo = read(`${root}proc/cpuinfo`);
  const rated = /^model name\s*:.*@ ([\d.]+)GHz/m.exec(cpuinfo)?.[1];
  if (rated !== undefined) return Math.round(Number(rated) * 1e6);
  // Where frequencies change this is the frequency of the moment; a virtual machine without cpufreq shows the counter's.
  const current = Number(/^cpu MHz\s*:\s*([\d.]+)/m.exec(cpuinfo)?.[1]);
  const changes = read(`${root}sys/devices/system/cpu/cpu0/cpufreq/scaling_driver`) !== "";
  return current > 0 && !changes ? Math.round(current * 1e3) : undefined;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return ""; // kernels differ in what they show
  }
}
