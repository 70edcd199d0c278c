import { createHash } from "node:crypto";
import type { GuestImage } from "../image/ensure.ts";
import type { QemuBinary } from "../qemu/binary.ts";
import { type MachineShape, planVm } from "../qemu/plan.ts";

/** Changes when the way a template is made does: older ones are built again. */
const TEMPLATE_FORMAT = 1;

/** What a template is a template of. */
export interface TemplateSubject {
  readonly qemu: QemuBinary;
  readonly image: GuestImage;
  readonly shape: MachineShape;
}

/** Digest of everything that a clone must have in common with its template: QEMU, its arguments, the image; 16 hex digits. */
export function templateKey({ qemu, image, shape }: TemplateSubject): string {
  const place = {
    directory: "/machine",
    memory: { kind: "clone", path: "/memory" },
    network: { kind: "none" },
  } as const;
  const { argv } = planVm({ qemu, image, shape, ...place });
  const facts = [TEMPLATE_FORMAT, qemu.identity, qemu.version, image.key, argv];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 16);
}
