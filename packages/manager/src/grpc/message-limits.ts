/** Of one message, in both directions; containerd's own limit. */
const MAX_MESSAGE_BYTES = 16 << 20;

/** grpc-js's options for servers and clients. */
export const MESSAGE_LIMITS = {
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
  "grpc.enable_channelz": 0,
} as const;
