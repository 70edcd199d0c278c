/** One event of a shim, as it came. `payload` is the message named by `typeUrl`. */
export interface ShimEvent {
  readonly namespace: string;
  readonly topic: string;
  readonly timestampNs: bigint;
  readonly typeUrl: string;
  readonly payload: Uint8Array;
}

/** Publish and subscribe within the process. A subscriber is called in the order of publication and must not throw. */
export class EventExchange {
  readonly #subscribers = new Set<(event: ShimEvent) => void>();

  publish(event: ShimEvent): void {
    for (const subscriber of [...this.#subscribers]) subscriber(event);
  }

  /** Until the result is disposed. */
  subscribe(subscriber: (event: ShimEvent) => void): Disposable {
    this.#subscribers.add(subscriber);
    return { [Symbol.dispose]: () => void this.#subscribers.delete(subscriber) };
  }
}
