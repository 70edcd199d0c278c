import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, chown, mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ensurePackages } from "../../tools/debian.ts";
import { runOk } from "./process.ts";
import { encodeTar, type TarEntry } from "./tar.ts";

/** busybox as root; the image that tests use. */
export const IMAGE = "trimaran.test/busybox:1";
/** The same with `USER app`, uid and gid 1000, home /home/app. */
export const APP_IMAGE = "trimaran.test/app:1";
/** The same, and sleeps: what a pod's sandbox runs. */
export const PAUSE_IMAGE = "trimaran.test/pause:1";

const BUILD = join(import.meta.dirname, "../../build/e2e");
const BUSYBOX = "/bin/busybox";
const RECIPE = 4; // counts up when the content below changes

/** Paths of an image with both names, in the two forms that `ctr images import` reads. */
export interface ImageFiles {
  /** An OCI image layout. */
  readonly oci: string;
  /** The form of `docker save`. */
  readonly docker: string;
}

/** Build the test images from Debian's busybox-static, or find them in build/e2e. */
export async function buildImages(): Promise<ImageFiles> {
  await ensurePackages(["busybox-static"]);
  const key = await contentKey();
  const files = { oci: join(BUILD, `image-${key}.oci.tar`), docker: join(BUILD, `image-${key}.docker.tar`) };
  if (!existsSync(files.oci) || !existsSync(files.docker)) {
    const layer = encodeTar(await rootfsEntries());
    await mkdir(BUILD, { recursive: true });
    const images = [
      { tag: IMAGE, user: "" },
      { tag: APP_IMAGE, user: "app" },
    ];
    await writeWhole(files.docker, encodeTar(dockerSave([layer], images)));
    await writeWhole(files.oci, encodeTar(ociLayout(layer)));
  }
  return files;
}

/** An archive as of `docker save`: the busybox image as `tag`, with that many layers above it, each with a file `/layer-N`. */
export async function layeredImage(tag: string, count: number): Promise<Buffer> {
  const above = Array.from({ length: count }, (_, i) =>
    encodeTar([{ path: `layer-${i}`, kind: "file", data: Buffer.from(`${i}\n`) }]),
  );
  return encodeTar(dockerSave([encodeTar(await rootfsEntries()), ...above], [{ tag, user: "" }]));
}

/** The images' content as a plain folder: build/e2e/rootfs-KEY. Read only: tests put an overlay on it. */
export async function buildRootfs(): Promise<string> {
  await ensurePackages(["busybox-static"]);
  const folder = join(BUILD, `rootfs-${await contentKey()}`);
  if (existsSync(folder)) return folder;
  const work = `${folder}.${process.pid}`;
  for (const entry of await rootfsEntries()) await writeEntry(work, entry);
  await rename(work, folder).catch(async (error: unknown) => {
    await rm(work, { recursive: true, force: true });
    if (!existsSync(folder)) throw error; // another process was faster
  });
  return folder;
}

async function contentKey(): Promise<string> {
  const hash = createHash("sha256").update(await readFile(BUSYBOX));
  return hash.update(String(RECIPE)).digest("hex").slice(0, 12);
}

async function rootfsEntries(): Promise<TarEntry[]> {
  const applets = (await runOk([BUSYBOX, "--list"])).trim().split("\n");
  const file = (path: string, content: string): TarEntry => ({ path, kind: "file", data: Buffer.from(content) });
  const folder = (path: string, mode = 0o755): TarEntry => ({ path: `${path}/`, kind: "directory", mode });
  return [
    ...["bin", "dev", "etc", "home", "proc", "root", "sys", "run", "usr", "var"].map((path) => folder(path)),
    folder("tmp", 0o1777),
    { path: "home/app/", kind: "directory", uid: 1000, gid: 1000 },
    { path: "bin/busybox", kind: "file", mode: 0o755, data: await readFile(BUSYBOX) },
    ...applets
      .filter((name) => name !== "busybox")
      .map((name): TarEntry => ({ path: `bin/${name}`, kind: "symlink", target: "busybox", mode: 0o777 })),
    file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"),
    file("etc/group", "root:x:0:\napp:x:1000:\nextra:x:2000:app\n"),
    file("etc/hostname", "busybox\n"),
    file("etc/hosts", "127.0.0.1 localhost\n"),
    file("etc/resolv.conf", ""),
    { path: "etc/not-executable", kind: "file", mode: 0o644, data: Buffer.from("#!/bin/sh\n") },
  ];
}

const digest = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
const json = (value: unknown) => Buffer.from(JSON.stringify(value));

function imageConfig(layers: readonly Uint8Array[], user: string, command = ["sh"]): Buffer {
  return json({
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { User: user, Env: ["PATH=/usr/local/bin:/usr/bin:/bin"], Cmd: command, WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => `sha256:${digest(layer)}`) },
  });
}

function ociLayout(layer: Buffer): TarEntry[] {
  const blobs = new Map<string, Buffer>();
  const blob = (mediaType: string, data: Buffer) => {
    blobs.set(digest(data), data);
    return { mediaType, digest: `sha256:${digest(data)}`, size: data.length };
  };
  const image = (name: string, user: string, command?: string[]) => ({
    ...blob(
      "application/vnd.oci.image.manifest.v1+json",
      json({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: blob("application/vnd.oci.image.config.v1+json", imageConfig([layer], user, command)),
        layers: [blob("application/vnd.oci.image.layer.v1.tar", layer)],
      }),
    ),
    annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.split(":")[1] },
  });
  const manifests = [image(IMAGE, ""), image(APP_IMAGE, "app"), image(PAUSE_IMAGE, "", ["sleep", "1000000"])];
  return [
    { path: "oci-layout", kind: "file", data: json({ imageLayoutVersion: "1.0.0" }) },
    { path: "index.json", kind: "file", data: json({ schemaVersion: 2, manifests }) },
    ...[...blobs].map(([name, data]): TarEntry => ({ path: `blobs/sha256/${name}`, kind: "file", data })),
  ];
}

/** Images of the same layers. */
function dockerSave(layers: readonly Buffer[], images: readonly { tag: string; user: string }[]): TarEntry[] {
  const named = layers.map((data): TarEntry => ({ path: `${digest(data)}/layer.tar`, kind: "file", data }));
  const configs = images.map(({ tag, user }) => ({ tag, data: imageConfig(layers, user) }));
  const manifest = configs.map(({ tag, data }) => ({
    Config: `${digest(data)}.json`,
    RepoTags: [tag],
    Layers: named.map(({ path }) => path),
  }));
  return [
    ...named,
    ...configs.map(({ data }): TarEntry => ({ path: `${digest(data)}.json`, kind: "file", data })),
    { path: "manifest.json", kind: "file", data: json(manifest) },
  ];
}

async function writeEntry(root: string, entry: TarEntry): Promise<void> {
  const path = join(root, entry.path);
  await mkdir(dirname(path), { recursive: true });
  if (entry.kind === "symlink") return symlink(entry.target, path);
  if (entry.kind === "directory") await mkdir(path, { recursive: true });
  else await writeFile(path, entry.data);
  await chown(path, entry.uid ?? 0, entry.gid ?? 0);
  await chmod(path, entry.mode ?? (entry.kind === "file" ? 0o644 : 0o755));
}

async function writeWhole(path: string, data: Uint8Array): Promise<void> {
  await writeFile(`${path}.${process.pid}`, data);
  await rename(`${path}.${process.pid}`, path);
}
