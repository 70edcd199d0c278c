/** What the page is told, as JSON: shared by the server and the browser. All texts may be hostile. */
export interface Overview {
  readonly namespace: string;
  /** Path of the daemon's socket; empty where there is none. */
  readonly daemon: string;
  readonly containers: readonly ContainerRow[];
  readonly starts: readonly StartSteps[];
}

export interface ContainerRow {
  readonly id: string;
  readonly image: string;
  readonly runtime: string;
  readonly command: string;
  readonly state: string;
  /** 0 if it does not run. */
  readonly pid: number;
  /** -1 if it has none. */
  readonly exitStatus: number;
  readonly createdAtMs: number;
  /** Null for what does not run, or is not measured. */
  readonly usage: Usage | null;
}

/** At one moment; CPU is the sum since its start. */
export interface Usage {
  readonly atMs: number;
  readonly cpuMs: number;
  readonly memoryBytes: number;
  /** 0: none. */
  readonly memoryLimitBytes: number;
  readonly pids: number;
}

/** The steps of a start one after the other, each on average. */
export interface StartSteps {
  readonly runtime: string;
  readonly steps: readonly { readonly name: string; readonly count: number; readonly meanMs: number }[];
}

export interface ContainerPage {
  readonly id: string;
  /** Its own first. */
  readonly layers: readonly Layer[];
  readonly changes: readonly Change[];
  readonly hasMoreChanges: boolean;
  readonly namespaces: readonly { readonly kind: string; readonly identity: string; readonly isHost: boolean }[];
}

export interface Layer {
  readonly index: number;
  readonly directory: string;
  readonly snapshot: string;
  /** -1: nobody counts. */
  readonly sizeBytes: number;
}

export interface Change {
  readonly path: string;
  readonly kind: "added" | "copied-up" | "deleted" | "replaced";
  readonly type: string;
  readonly sizeBytes: number;
}

export interface NamespaceSets {
  readonly sets: readonly NamespaceSet[];
}

/** One namespace, and who is in it. */
export interface NamespaceSet {
  readonly kind: string;
  readonly identity: string;
  readonly isHost: boolean;
  /** Of the whole machine. */
  readonly processes: number;
  readonly containers: readonly NamespaceMember[];
}

export interface NamespaceMember {
  readonly id: string;
  readonly processes: number;
}
