/** Of one message, in both directions; containerd's own limit. */
export const MAX_MESSAGE_BYTES: number = 16 << 20;

/** What may be on its way without the reader's consent, per stream and per connection: large blobs come in 1 MiB messages. */
export const WINDOW_BYTES: number = 4 << 20;
