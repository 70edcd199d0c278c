import { grpc, type healthV1 } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";

const { SERVING, SERVICE_UNKNOWN } = grpc.health.v1.ServingStatus;

/** grpc.health.v1.Health. What answers serves: the state never changes. `services` are names like `package.Service`. */
export function healthService(services: ReadonlySet<string>): Implementation<typeof healthV1> {
  const isKnown = (service: string) => service === "" || services.has(service);
  return {
    check({ service }) {
      if (isKnown(service)) return { status: SERVING };
      throw new ManagerError(Code.NotFound, `service ${JSON.stringify(service)}: not found`);
    },
    async *watch({ service }, { signal }) {
      yield { status: isKnown(service) ? SERVING : SERVICE_UNKNOWN };
      if (signal.aborted) return;
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    },
  };
}
