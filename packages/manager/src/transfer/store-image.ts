import { Code, hasCode } from "../errors/manager-error.ts";
import { type Descriptor, fromWire, toWire } from "./descriptor.ts";
import { callOptions, type TransferContext } from "./transfer-context.ts";

/** A name for an index or a manifest. */
export interface NamedImage {
  readonly name: string;
  readonly target: Descriptor;
}

/** Give an image its name; one that has the name already loses it. Labels are added to those there are. */
export async function storeImage(
  context: TransferContext,
  { name, target }: NamedImage,
  labels: Readonly<Record<string, string>> = {},
): Promise<NamedImage> {
  const image = { name, target: toWire(target), labels };
  const { images } = context.services;
  try {
    await images.create({ image }, callOptions(context));
  } catch (error) {
    if (!hasCode(error, Code.AlreadyExists)) throw error;
    const paths = ["target", ...Object.keys(labels).map((key) => `labels.${key}`)];
    await images.update({ image, updateMask: { paths } }, callOptions(context));
  }
  await context.progress({ event: "saved", name, descriptor: target });
  return { name, target };
}

/** The image of a name. Throws NotFound. */
export async function getImage(context: TransferContext, name: string): Promise<NamedImage> {
  const { image } = await context.services.images.get({ name }, callOptions(context));
  return { name, target: fromWire(image?.target, `image ${JSON.stringify(name)}`) };
}
