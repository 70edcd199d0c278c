import type { tasksV1 } from "@trimaran/proto";
import type { Implementation } from "../grpc/implementation.ts";
import type { ServiceCall } from "../grpc/service-call.ts";
import type { TaskFinder } from "./task-finder.ts";

type Tasks = Implementation<typeof tasksV1>;

/** The tasks service of a process that knows no task before it is asked: it looks for the task's shim first. */
export function onDemandTasks(tasks: Tasks, finder: TaskFinder): Tasks {
  const found =
    <Request extends { readonly containerId: string }, Answer>(
      method: (request: Request, call: ServiceCall) => Answer,
    ) =>
    async (request: Request, call: ServiceCall): Promise<Awaited<Answer>> => {
      await finder.find(call.namespace ?? "", request.containerId);
      return await method(request, call);
    };
  return {
    create: tasks.create, // a bundle in the way is its own answer
    start: found(tasks.start),
    delete: found(tasks.delete),
    deleteProcess: found(tasks.deleteProcess),
    get: found(tasks.get),
    kill: found(tasks.kill),
    exec: found(tasks.exec),
    resizePty: found(tasks.resizePty),
    closeIO: found(tasks.closeIO),
    pause: found(tasks.pause),
    resume: found(tasks.resume),
    listPids: found(tasks.listPids),
    update: found(tasks.update),
    wait: found(tasks.wait),
    checkpoint: found(tasks.checkpoint),
    async list(request, call) {
      await finder.findAll(call.namespace ?? "");
      return tasks.list(request, call);
    },
    async metrics(request, call) {
      await finder.findAll(call.namespace ?? "");
      return tasks.metrics(request, call);
    },
  };
}
