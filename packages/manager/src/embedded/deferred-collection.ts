/** Stands in for the collection scheduler in a process that shares its root: notes whether there is a reason to collect. */
export class DeferredCollection {
  #isDue = false;

  /** Whether something was deleted. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /** What was only created or changed can wait for a process that deletes. */
  changed(): void {}

  deleted(): void {
    this.#isDue = true;
  }

  /** Nobody can collect while the root is shared: it is done when the process lets go. */
  async collect(): Promise<void> {
    this.#isDue = true;
  }
}
