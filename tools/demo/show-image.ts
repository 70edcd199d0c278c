import { text } from "node:stream/consumers";
import { createContainer, createTask, type ManagerClient, removeContainer } from "@trimaran/manager";
import { importFile, listImages } from "@trimaran/manager/images";
import { PLAIN } from "./plain.ts";
import type { Printer } from "./print.ts";

const COMMAND = "echo $(id -un) in $(cat /etc/hostname); echo changed > /etc/hostname";

/** Import an image archive into the content store, unpack it into a snapshot, run a container of it by the image's name. */
export async function showImage(
  client: ManagerClient,
  archive: string,
  runtime: string,
  print: Printer,
): Promise<void> {
  print.title("An image: imported, unpacked, run by its name");
  const begun = performance.now();
  const [image] = await importFile(client, archive, process.stdin, { platforms: [] }, {});
  if (image === undefined) throw new Error(`${archive}: no image in it`);
  print.step("import", performance.now() - begun, `${image.name}, manifest and layers verified by digest`);
  for (const { name, digest } of await listImages(client)) print.quote(`${name} ${digest}\n`);
  const container = await createContainer(client, {
    ...PLAIN,
    id: "imaged",
    runtime,
    source: image.name,
    args: ["sh", "-c", COMMAND],
    options: {},
  });
  try {
    await using stdio = await client.openStdio({ terminal: false, stdin: false });
    const output = stdio.stdout ? text(stdio.stdout) : Promise.resolve("");
    const started = performance.now();
    const task = await createTask(client, container, stdio.io);
    const exited = task.wait();
    await task.start();
    await stdio.release();
    const { status } = await exited;
    await task.delete();
    await stdio.ended();
    print.step(
      "run",
      performance.now() - started,
      "an overlay of its layers, one writable layer on top, until its exit",
    );
    print.quote(await output);
    if (status !== 0) throw new Error(`the container ended with ${status}`);
  } finally {
    await removeContainer(client, container, true);
  }
}
