import type { ContainerPage, NamespaceSets, Overview } from "./model.ts";

const KEY = "trimaran-token";

/** The token of the address that was opened, which then leaves the address bar; kept for this tab's reloads. */
export function takeToken(): string {
  const given = /^#token=([\w-]+)$/.exec(location.hash)?.[1];
  if (given !== undefined) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", "#/");
  }
  return sessionStorage.getItem(KEY) ?? "";
}

/** Asks the command that serves this page. Rejects with what it says. */
export class Api {
  readonly #token: string;

  constructor(token: string) {
    this.#token = token;
  }

  overview(): Promise<Overview> {
    return this.#get("overview");
  }

  container(id: string): Promise<ContainerPage> {
    return this.#get(`container?id=${encodeURIComponent(id)}`);
  }

  namespaces(): Promise<NamespaceSets> {
    return this.#get("namespaces");
  }

  async #get<T>(path: string): Promise<T> {
    const response = await fetch(`api/${path}`, { headers: { Authorization: `Bearer ${this.#token}` } });
    if (!response.ok) throw new Error((await response.text()).trim());
    return (await response.json()) as T;
  }
}
