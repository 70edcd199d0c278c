/** What each slot of a monitored process holds. The monitor closes the child's own ends once the child has them. */
export const SLOT = {
  childStdin: 0,
  childStdout: 1,
  childStderr: 2,
  stdinSource: 3,
  stdinTarget: 4,
  /** A writer of our own, so that a client that goes away is no end of input; CloseIO drops it. */
  stdinHold: 5,
  stdoutSource: 6,
  stdoutTarget: 7,
  stderrSource: 8,
  stderrTarget: 9,
  terminal: 10,
  /** Free for the runtime: the watch for OOM kills. */
  watch: 11,
  /** Of a logger: writers of our own, so that one that reads before the container is there finds no end of file. */
  loggerHoldStdout: 12,
  loggerHoldStderr: 13,
  /** The monitor's own: the process's pidfd. */
  pidfd: 15,
  /** A writer that lets a client's open return, until a client has the FIFO open; see `connect.ts`. */
  stdoutWaiting: 16,
  stderrWaiting: 17,
  /** inotify: readable when a client opens it. */
  stdoutReaders: 18,
  stderrReaders: 19,
  /** Our own reader of the FIFO: what a client has not read yet stays, and can be counted. */
  stdoutUnread: 20,
  stderrUnread: 21,
  /** What is read when the process has ended: its cgroup's count of OOM kills. */
  last: 22,
} as const;
