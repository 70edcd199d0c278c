export { RuncRuntime } from "./runtime.ts";
