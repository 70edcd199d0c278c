/**
 * What a monitor is told about itself at its start, and tells every task server: all that is needed to serve its pod.
 * It travels in the daemon's environment, as JSON.
 */
export interface PodIdentity {
  /** Container whose `start` made the monitor. */
  readonly id: string;
  readonly group: string;
  readonly namespace: string;
  readonly bundle: string;
  readonly socket: string;
  /** containerd's ttrpc events socket; empty: none, events are dropped. */
  readonly ttrpcAddress: string;
  readonly debug: boolean;
  /** Of the task server that started it. Older monitors have none. */
  readonly version?: string;
  /** Runtime options of `start`, values as base64. */
  readonly options: readonly { readonly typeUrl: string; readonly value: string }[];
}

export function encodeIdentity(identity: PodIdentity): string {
  return JSON.stringify(identity);
}

/** Of our own making: a version of ourselves wrote it. Throws SyntaxError on anything else. */
export function decodeIdentity(text: string): PodIdentity {
  const parsed: unknown = JSON.parse(text);
  return parsed as PodIdentity;
}
