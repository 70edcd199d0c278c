/** A layer that cannot be unpacked as it is, or is over a limit; names the member. */
export class LayerError extends Error {
  override readonly name = "LayerError";
}
