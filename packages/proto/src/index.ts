export { ANY, anyTypeName, isAnyOf, packAny } from "./any.ts";
export { type Codec, type Init, MessageCodec, type MethodDescriptor, type ServiceDescriptor } from "./codec.ts";
export { containerd, google, io, runtimeoptions, ttrpc } from "./gen/codec.js";
export { type Int64, toBigInt, toLong } from "./int64.ts";
export { sandboxV1, streamingV1, taskV2, taskV3, ttrpcEvents } from "./services.ts";
export { fromTimestamp, GO_ZERO_TIME, type Timestamp, toTimestamp } from "./timestamp.ts";
export { WireError, WireReader } from "./wire-reader.ts";
export { WireWriter } from "./wire-writer.ts";
