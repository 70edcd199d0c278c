export { type TaskUsage, taskUsages } from "./task-usage.ts";
export { type ManagerEvent, watchEvents } from "./watch-events.ts";
