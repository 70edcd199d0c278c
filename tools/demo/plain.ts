/** Of a container without anything special. */
export const PLAIN = { direct: false, ports: [], autoRemove: false, keepOutput: false, transfer: {} } as const;
