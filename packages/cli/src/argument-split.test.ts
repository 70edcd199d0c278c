import assert from "node:assert/strict";
import { test } from "node:test";
import { arrange } from "./run-cli.ts";

test("what follows the first word that is no flag belongs to the container", () => {
  const cases: [string, string][] = [
    ["run busybox.tar ls -l", "run -- busybox.tar ls -l"],
    ["run -it --rm busybox.tar sh -c x", "run -it --rm -- busybox.tar sh -c x"],
    ["run -e A=1 --env=B=2 --name web -d img -d", "run -e A=1 --env=B=2 --name web -d -- img -d"],
    ["run -te A=1 img", "run -te A=1 -- img"],
    ["run --net-host --memory 64m img --net-host", "run --net-host --memory 64m -- img --net-host"],
    ["run --rm -- img -- ls", "run --rm -- img -- ls"],
    ["run img -- ls", "run -- img -- ls"],
    ["exec -t -u bob web ps --help", "exec -t -u bob -- web ps --help"],
    ["run --help", "run --help"],
    ["ps -a", "ps -a"],
    ["--root /r --debug run img ls -l", "run --root /r --debug -- img ls -l"],
    ["--state=/s ps -q", "ps --state=/s -q"],
    ["--root /r images pull busybox", "images pull --root /r busybox"],
    ["--root /r images --json", "images --root /r --json"],
    ["--help", "--help"],
  ];
  for (const [typed, arranged] of cases) assert.equal(arrange(typed.split(" ")).join(" "), arranged);
});
