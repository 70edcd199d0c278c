import assert from "node:assert/strict";
import { chmod, readlink } from "node:fs/promises";
import { APP_IMAGE } from "./harness/images.ts";
import { matrix } from "./harness/matrix.ts";

matrix("process", (scenario) => {
  scenario("a user namespace", async (box) => {
    await chmod(box.engine.dir, 0o711); // ids that own nothing here have to reach the bundle
    const flags = ["--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536"];
    const script = "id -u; touch /root/x; stat -c %u:%g /root/x; echo $(cat /proc/self/uid_map /proc/self/gid_map)";
    const done = await box.run({ flags }, "sh", "-c", script);
    assert.deepEqual([done.stderr, done.stdout], ["", "0\n0:0\n0 100000 65536 0 200000 65536\n"]);
  });

  scenario("user of the image, with its groups and home", async (box) => {
    const script = "id -u; id -g; id -G; touch $HOME/file && stat -c %u $HOME/file";
    const done = await box.run({ image: APP_IMAGE, flags: ["--env", "HOME=/home/app"] }, "sh", "-c", script);
    assert.equal(done.stdout, "1000\n1000\n1000 2000\n1000\n", done.stderr);
  });

  scenario("an ordinary user has no capabilities, root has the default ones", async (box) => {
    const show = ["sh", "-c", "grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs' /proc/self/status"];
    const app = await box.run({ image: APP_IMAGE }, ...show);
    assert.match(app.stdout, /CapPrm:\t0{16}\nCapEff:\t0{16}\nCapBnd:\t00000000a80425fb\nNoNewPrivs:\t1/);
    const root = await box.run({}, ...show);
    assert.match(root.stdout, /CapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n/);
  });

  scenario("working directory; it is made if it is not there", async (box) => {
    assert.equal((await box.run({ flags: ["--cwd", "/home/app"] }, "pwd")).stdout, "/home/app\n");
    assert.equal((await box.run({ flags: ["--cwd", "/not/yet"] }, "pwd")).stdout, "/not/yet\n");
  });

  scenario("environment: the image's, what --env adds, nothing of containerd's", async (box) => {
    const done = await box.run({ flags: ["--env", "ONE=1", "--env", "TWO=a b=c"] }, "/bin/busybox", "env");
    const names = done.stdout
      .trim()
      .split("\n")
      .map((line) => line.split("=")[0]);
    assert.match(done.stdout, /^ONE=1$/m);
    assert.match(done.stdout, /^TWO=a b=c$/m);
    assert.match(done.stdout, /^PATH=\/usr\/local\/bin:\/usr\/bin:\/bin$/m);
    assert.deepEqual(
      names.filter((name) => !["PATH", "HOME", "ONE", "TWO", "HOSTNAME", "TERM"].includes(name ?? "")),
      [],
    );
  });

  scenario("arguments reach the program as they are", async (box) => {
    const args = ["", " two words ", "ünï", "quote'\"", "*", "$HOME", "new\nline"];
    const done = await box.run({}, "sh", "-c", 'for a; do printf "[%s]" "$a"; done', "sh", ...args);
    assert.equal(done.stdout, args.map((arg) => `[${arg}]`).join(""));
  });

  scenario("a program found by PATH, a script found by its #!", async (box) => {
    const script = "printf '#!/bin/sh\\necho script $1\\n' > /tmp/s; chmod +x /tmp/s; exec /tmp/s arg";
    assert.equal((await box.run({}, "sh", "-c", script)).stdout, "script arg\n");
    assert.equal((await box.run({}, "echo", "by path")).stdout, "by path\n");
  });

  scenario("it sees its own processes, no open files of others, default signals", async (box) => {
    const seen = await box.run({}, "sh", "-c", "echo /proc/[0-9]*; ls /proc/self/fd");
    assert.equal(seen.stdout, "/proc/1\n0\n1\n2\n3\n", "3 is the folder that ls reads");
    const signals = await box.run({}, "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"); // no shell: ash ignores SIGQUIT
    assert.equal(signals.stdout, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  });

  scenario("namespaces are its own", async (box) => {
    for (const name of ["ipc", "mnt", "net", "pid", "uts"]) {
      const inside = (await box.run({}, "readlink", `/proc/self/ns/${name}`)).stdout.trim();
      assert.notEqual(inside, await readlink(`/proc/self/ns/${name}`));
    }
  });
});
