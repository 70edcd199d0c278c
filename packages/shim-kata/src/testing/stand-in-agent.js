// A stand-in for the agent, for tests of the machine alone: on port agent.0 it answers each line. CommonJS, as it runs from the image.
//   ping NONCE     → pong NONCE UPTIME BOOT_ID
//   memory         → memory MemTotal_kB MemAvailable_kB
//   eval CODE      → eval JSON
//   panic          → the kernel panics
//   exit CODE      → the agent ends
const fs = require("node:fs");

const PORTS = "/sys/class/virtio-ports";
const name = fs
  .readdirSync(PORTS)
  .find((each) => fs.readFileSync(`${PORTS}/${each}/name`, "utf8").trim() === "agent.0");
const port = fs.openSync(`/dev/${name}`, "r+");
const idle = new Int32Array(new SharedArrayBuffer(4));
const buffer = Buffer.alloc(4096);
let received = "";

for (;;) {
  const size = fs.readSync(port, buffer);
  // Nobody is connected on the host: the read does not wait.
  if (size === 0) Atomics.wait(idle, 0, 0, 2);
  received += buffer.toString("latin1", 0, size);
  for (let end = received.indexOf("\n"); end >= 0; end = received.indexOf("\n")) {
    const line = received.slice(0, end);
    received = received.slice(end + 1);
    fs.writeSync(port, `${answer(line)}\n`);
  }
}

function answer(line) {
  const [verb, ...rest] = line.split(" ");
  const text = rest.join(" ");
  if (verb === "ping")
    return `pong ${text} ${read("/proc/uptime").split(" ")[0]} ${read("/proc/sys/kernel/random/boot_id")}`;
  if (verb === "memory") return `memory ${meminfo("MemTotal")} ${meminfo("MemAvailable")}`;
  // biome-ignore lint/security/noGlobalEval: a test's own question to its own guest
  if (verb === "eval") return `eval ${JSON.stringify(eval(text))}`;
  if (verb === "panic") fs.writeFileSync("/proc/sysrq-trigger", "c");
  if (verb === "exit") process.exit(Number(text));
  return `error unknown verb ${verb}`;
}

function read(path) {
  return fs.readFileSync(path, "utf8").trim();
}

function meminfo(field) {
  return new RegExp(`${field}:\\s+(\\d+)`).exec(read("/proc/meminfo"))[1];
}
