import { proposeContainers } from "../completion/propose.ts";

/** A flag that is off unless given. */
export const off = { kind: "boolean", default: false, withNegated: false } as const;

/** Flags of a listing. */
export const listFlags = {
  quiet: { ...off, brief: "names only" },
  json: { ...off, brief: "one JSON object per line" },
} as const;

/** One container. */
export const oneId = {
  kind: "tuple",
  parameters: [
    {
      brief: "a container, by id or its beginning",
      parse: String,
      placeholder: "ID",
      proposeCompletions: proposeContainers,
    },
  ],
} as const;

/** One container or more. */
export const ids = {
  kind: "array",
  parameter: {
    brief: "containers, by id or its beginning",
    parse: String,
    placeholder: "ID",
    proposeCompletions: proposeContainers,
  },
  minimum: 1,
} as const;
