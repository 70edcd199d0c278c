import { gzipSync } from "node:zlib";
import { digestOf } from "../../content/digest.ts";
import { type FixtureEntry, makeTar } from "../../testing/tar-fixture.ts";

export const OCI = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  gzipLayer: "application/vnd.oci.image.layer.v1.tar+gzip",
} as const;

/** A descriptor as JSON has it. */
export interface FixtureDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Record<string, string>;
  readonly platform?: Record<string, string>;
}

/** Blobs of made-up images, by digest, in the order of making. */
export class ImageFixture {
  readonly blobs = new Map<string, Buffer>();

  blob(mediaType: string, content: Uint8Array | string): FixtureDescriptor {
    const bytes = Buffer.from(content);
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  document(mediaType: string, document: unknown): FixtureDescriptor {
    return this.blob(mediaType, JSON.stringify(document));
  }

  /** A manifest of layers with one file each; the first is plain, the others gzip. */
  image(contents: readonly string[], platform = { os: "linux", architecture: "amd64" }): FixtureDescriptor {
    const tars = contents.map((content) => makeTar([{ name: "file", content }]));
    const layers = tars.map((tar, index) =>
      index === 0 ? this.blob(OCI.layer, tar) : this.blob(OCI.gzipLayer, gzipSync(tar)),
    );
    const config = this.document(OCI.config, {
      ...platform,
      rootfs: { type: "layers", diff_ids: tars.map((tar) => digestOf(tar)) },
    });
    return this.document(OCI.manifest, { schemaVersion: 2, mediaType: OCI.manifest, config, layers });
  }

  index(manifests: readonly FixtureDescriptor[]): FixtureDescriptor {
    return this.document(OCI.index, { schemaVersion: 2, mediaType: OCI.index, manifests });
  }

  /** An OCI layout of all blobs, but for those that are left out. */
  layout(manifests: readonly FixtureDescriptor[], without: readonly string[] = []): Buffer {
    const blobs = [...this.blobs].filter(([digest]) => !without.includes(digest));
    return makeTar([
      { name: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' },
      { name: "index.json", content: JSON.stringify({ schemaVersion: 2, manifests }) },
      { name: "blobs/", type: "5" },
      ...blobs.map(([digest, content]): FixtureEntry => ({ name: `blobs/${digest.replace(":", "/")}`, content })),
    ]);
  }
}

/** With the annotations that name it. */
export function named(descriptor: FixtureDescriptor, name: string): FixtureDescriptor {
  return { ...descriptor, annotations: { "io.containerd.image.name": name } };
}
