import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildRootfs, layeredImage } from "./harness/images.ts";
import { type Box, matrix } from "./harness/matrix.ts";

/** A folder of the host with a file in it. */
async function hostFolder(box: Box): Promise<string> {
  const folder = join(box.engine.dir, "shared");
  await mkdir(join(folder, "sub"), { recursive: true });
  await writeFile(join(folder, "file"), "from the host\n");
  return folder;
}

matrix("file system", (scenario) => {
  scenario("--mount: a bind, read-write and read-only", async (box) => {
    const folder = await hostFolder(box);
    const mount = (options: string) => ["--mount", `type=bind,src=${folder},dst=/mnt/here,options=${options}`];
    const script = "cat /mnt/here/file; echo inside > /mnt/here/back";
    const writable = await box.run({ flags: mount("rbind:rw") }, "sh", "-c", script);
    assert.deepEqual(writable, { code: 0, stdout: "from the host\n", stderr: "" });
    assert.equal(await readFile(join(folder, "back"), "utf8"), "inside\n");
    const fixed = await box.run({ flags: mount("rbind:ro") }, "sh", "-c", script);
    assert.equal(fixed.code, 1);
    assert.match(fixed.stderr, /Read-only file system/);
  });

  scenario("--mount: one file, a tmpfs with options", async (box) => {
    const folder = await hostFolder(box);
    const file = await box.run(
      { flags: ["--mount", `type=bind,src=${folder}/file,dst=/etc/hostname,options=bind:ro`] },
      "cat",
      "/etc/hostname",
    );
    assert.equal(file.stdout, "from the host\n", file.stderr);
    const flags = ["--mount", "type=tmpfs,src=tmpfs,dst=/scratch,options=size=1m:mode=1770:noexec:nosuid"];
    const tmpfs = await box.run({ flags }, "sh", "-c", "stat -c %a /scratch; grep ' /scratch ' /proc/mounts");
    assert.match(tmpfs.stdout, /^1770\ntmpfs \/scratch tmpfs rw,nosuid,noexec,.*size=1024k/);
  });

  scenario("--read-only: only the root is", async (box) => {
    const script =
      "touch /file; touch /dev/shm/file && echo shm; grep ' / ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1";
    const done = await box.run({ flags: ["--read-only"] }, "sh", "-c", script);
    assert.match(done.stderr, /\/file: Read-only file system/);
    assert.equal(done.stdout, "shm\nro\n");
  });

  scenario("the default mounts and devices are there", async (box) => {
    const script =
      "cut -d' ' -f2,3 /proc/mounts | grep -v proc/; ls -l /dev/null /dev/full /dev/tty /dev/fd /dev/ptmx | cut -c1";
    const lines = (await box.run({}, "sh", "-c", script)).stdout.trim().split("\n");
    for (const mount of [
      "/ overlay",
      "/proc proc",
      "/dev tmpfs",
      "/dev/pts devpts",
      "/dev/shm tmpfs",
      "/dev/mqueue mqueue",
      "/sys sysfs",
      "/run tmpfs",
    ]) {
      assert.ok(lines.includes(mount), `${mount} in\n${lines.join("\n")}`);
    }
    assert.deepEqual(lines.slice(-5).sort(), ["c", "c", "c", "l", "l"]);
  });

  scenario("what must not be touched is masked or read-only", async (box) => {
    const script =
      "cat /proc/kcore | wc -c; ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : | grep -c .; echo 1 > /proc/sys/kernel/panic; mkdir /sys/x";
    const done = await box.run({}, "sh", "-c", script);
    assert.equal(done.stdout, "0\n0\n");
    assert.match(done.stderr, /panic: Read-only file system/);
    assert.match(done.stderr, /mkdir: .*Read-only file system/);
  });

  scenario("each container has a layer of its own", async (box) => {
    await using first = await box.start({}, "sleep", "1000");
    await first.exec({}, "touch", "/made");
    const other = await box.run({}, "ls", "/made");
    assert.notEqual(other.code, 0);
    assert.equal((await first.exec({}, "ls", "/made")).code, 0);
  });

  scenario("an image of many layers: more than fsconfig(2) takes at once", async (box) => {
    const archive = join(box.engine.dir, "layered.tar");
    const image = "trimaran.test/layered:1";
    await writeFile(archive, await layeredImage(image, 12));
    await box.engine.ctrOk("images", "import", archive);
    const done = await box.run(
      { image },
      "sh",
      "-c",
      "cat /layer-* | wc -l; rm /layer-3 && touch /new && echo written",
    );
    assert.deepEqual([done.code, done.stdout], [0, "12\nwritten\n"], done.stderr);
    const fixed = await box.run({ image, flags: ["--read-only"] }, "sh", "-c", "cat /layer-11; touch /new");
    assert.deepEqual([fixed.code, fixed.stdout], [1, "11\n"], fixed.stderr);
    await box.engine.ctrOk("images", "rm", "--sync", image);
  });

  scenario("--rootfs: a folder of the host as the root", async (box) => {
    const done = await box.run(
      { flags: ["--rootfs", "--read-only"], image: await buildRootfs() },
      "/bin/sh",
      "-c",
      "cat /etc/hostname; exit 3",
    );
    assert.deepEqual([done.code, done.stdout], [3, "busybox\n"], done.stderr);
  });
});
