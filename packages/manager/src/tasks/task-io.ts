/** Where a task's streams go; the strings are the shim contract's (FIFO paths, file:// and so on), "" is /dev/null. */
export interface TaskIo {
  readonly terminal: boolean;
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}
