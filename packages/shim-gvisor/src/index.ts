export { GvisorRuntime } from "./runtime.ts";
