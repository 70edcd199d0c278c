import { anyTypeName, containerd } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { raceAbort } from "../grpc/race-abort.ts";
import { Lanes } from "../host/lanes.ts";
import type { CredentialSource, Credentials } from "../registry/credentials.ts";
import type { MessageStream } from "./message-stream.ts";

const { AuthRequest, AuthResponse, AuthType } = containerd.types.transfer;
const REQUEST = "containerd.types.transfer.AuthRequest";
const RESPONSE = "containerd.types.transfer.AuthResponse";

/** Credentials that the client is asked for over its stream, one question at a time. */
export function credentialsFrom(stream: MessageStream): CredentialSource {
  const answers = stream.messages[Symbol.asyncIterator]();
  const lanes = new Lanes();
  return ({ host, reference, challenges }, signal) =>
    lanes.run("", async () => {
      await stream.send(REQUEST, AuthRequest.encode({ host, reference, wwwauthenticate: challenges }));
      const next = await raceAbort(answers.next(), signal);
      if (next.done === true) throw new ManagerError(Code.Canceled, "credentials: the client has closed their stream");
      const name = anyTypeName(next.value);
      if (name !== RESPONSE) {
        throw new ManagerError(Code.InvalidArgument, `credentials: the client has sent a ${JSON.stringify(name)}`);
      }
      return toCredentials(AuthResponse.decode(next.value.value));
    });
}

function toCredentials(answer: containerd.types.transfer.AuthResponse): Credentials | undefined {
  const { authType, secret, username } = answer;
  if (authType === AuthType.NONE) return undefined;
  if (authType === AuthType.CREDENTIALS) return { kind: "password", username, secret };
  if (authType === AuthType.REFRESH) return { kind: "refresh", token: secret };
  if (authType === AuthType.HEADER) return { kind: "header", value: secret };
  throw new ManagerError(Code.InvalidArgument, `credentials: authType ${authType} is unknown`);
}
