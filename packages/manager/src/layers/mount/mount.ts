/** A mount as containerd's API has it. `source` is a host path for binds, else what the file system makes of it. */
export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}
