import type { CgroupPlan, ResctrlPlan, Spec } from "@trimaran/linux";
import type { CreateRequest } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import type { RuncOptions } from "./options.ts";

/** Everything about a container that its bundle and request determine: a restarted task server works it out again. */
export interface Layout {
  readonly request: CreateRequest;
  readonly spec: Spec;
  readonly options: RuncOptions;
  readonly cgroupPlan: CgroupPlan;
  /** Undefined without `linux.intelRdt`, or where resctrl is not mounted. */
  readonly resctrl: ResctrlPlan | undefined;
}

/** A step of the launch program failed: the message names the field and the reason. Upstream answers Unknown, too. */
export function launchFailed(why: string): StatusError {
  return new StatusError(Code.Unknown, why);
}
