import { google, ttrpc } from "@trimaran/proto";
import { echo } from "../conformance/echo.ts";
import { encodeFrame } from "../src/index.ts";

function request(streamId: number, flags: number, method: string, typeUrl: string): Uint8Array {
  const payload = google.protobuf.Any.encode({ typeUrl, value: Buffer.from("v") });
  const metadata = [{ key: "k", value: "v" }];
  const envelope = ttrpc.Request.encode({ service: echo.name, method, payload, timeoutNano: 1_000_000_000, metadata });
  return encodeFrame({ streamId, type: 1, flags, payload: envelope });
}

function response(streamId: number, code: number): Uint8Array {
  const status = code === 0 ? undefined : { code, message: "m" };
  const payload = ttrpc.Response.encode({ status, payload: google.protobuf.Any.encode({ typeUrl: "x" }) });
  return encodeFrame({ streamId, type: 2, flags: 0, payload });
}

function data(streamId: number, flags: number): Uint8Array {
  const payload = (flags & 4) !== 0 ? new Uint8Array() : google.protobuf.Any.encode({ typeUrl: "d" });
  return encodeFrame({ streamId, type: 3, flags, payload });
}

/** Valid conversations to start from, besides the files in corpus/. */
export const seeds: readonly Buffer[] = [
  [request(1, 0, "Unary", "a"), request(3, 0, "Fail", "5"), request(5, 0, "Big", "100"), request(7, 0, "Nope", "")],
  [
    request(1, 2, "Chat", ""),
    data(1, 0),
    data(1, 0),
    data(1, 5),
    request(3, 1, "Download", "3"),
    request(5, 0, "Wait", ""),
  ],
  [request(1, 2, "Upload", ""), data(1, 0), data(1, 1), data(1, 0), data(9, 0), data(2, 5)],
  [response(1, 0), response(3, 5), data(5, 0), data(5, 5), data(7, 0), response(7, 8), response(9, 0)],
  [encodeFrame({ streamId: 1, type: 2, flags: 0, payload: new Uint8Array() }), data(5, 1), data(7, 5), data(9, 0)],
].map((frames) => Buffer.concat(frames));
