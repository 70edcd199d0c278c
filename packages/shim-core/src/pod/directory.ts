import type { Pod } from "./pod.ts";

/** The pods of a task server: those whose monitor is connected, and those whose monitor is on its way. */
export class PodDirectory {
  readonly #pods = new Set<Pod>();
  readonly #expected = new Map<string, { readonly promise: Promise<void>; readonly resolve: () => void }>();
  readonly #watchers = new Set<() => void>();
  readonly #onChange: () => void;

  /** `onChange` is called when a pod has come or gone. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get size(): number {
    return this.#pods.size + this.#expected.size;
  }

  add(pod: Pod): void {
    this.#pods.add(pod);
    this.#arrived(pod.identity.group);
    for (const look of this.#watchers) look();
    this.#onChange();
  }

  remove(pod: Pod): void {
    this.#pods.delete(pod);
    this.#onChange();
  }

  ofGroup(group: string): Pod | undefined {
    return this.#find((pod) => pod.identity.group === group);
  }

  /** The pod that holds a container, or was started for it. */
  ofContainer(id: string): Pod | undefined {
    return this.#find((pod) => pod.tasks.has(id)) ?? this.#find((pod) => pod.identity.id === id);
  }

  /** The pod whose monitor listens there, if it is connected. */
  ofSocket(path: string): Pod | undefined {
    return this.#find((pod) => pod.identity.socket === path);
  }

  /** Nobody is on his way, and all are like that. */
  every(wanted: (pod: Pod) => boolean): boolean {
    return this.#expected.size === 0 && [...this.#pods].every(wanted);
  }

  isExpected(group: string): boolean {
    return this.#expected.has(group);
  }

  /** A starter was told to become this group's monitor. */
  expect(group: string): void {
    if (this.#expected.has(group)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#expected.set(group, { promise, resolve });
  }

  /** Wait for a group's monitor that is on its way, if one is; not longer than the limit, after which it counts as lost. */
  async arrival(group: string, limitMs: number): Promise<void> {
    const expected = this.#expected.get(group);
    if (!expected) return;
    const timer = setTimeout(() => this.#arrived(group), limitMs);
    await expected.promise;
    clearTimeout(timer);
  }

  /** Wait for a pod that is on its way because its monitor was woken. Resolves with undefined when the limit is over. */
  async awakened(find: () => Pod | undefined, limitMs: number): Promise<Pod | undefined> {
    const { promise, resolve } = Promise.withResolvers<Pod | undefined>();
    const look = (): void => {
      const pod = find();
      if (pod) resolve(pod);
    };
    const timer = setTimeout(resolve, limitMs, undefined);
    this.#watchers.add(look);
    look();
    const pod = await promise;
    this.#watchers.delete(look);
    clearTimeout(timer);
    return pod;
  }

  #arrived(group: string): void {
    this.#expected.get(group)?.resolve();
    this.#expected.delete(group);
  }

  #find(wanted: (pod: Pod) => boolean): Pod | undefined {
    for (const pod of this.#pods) if (wanted(pod)) return pod;
    return undefined;
  }
}
