import { Code, ManagerError } from "../errors/manager-error.ts";

const IDENTIFIER = /^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$/;

declare const brand: unique symbol;
/** A name that may become a path: of a namespace, a container or an exec. */
export type Identifier = string & { readonly [brand]: "Identifier" };

/** containerd's rule for identifiers, 1 to 76 bytes. `field` names the input in the error. */
export function parseIdentifier(field: string, text: string): Identifier {
  if (text.length <= 76 && IDENTIFIER.test(text)) return text as Identifier;
  throw new ManagerError(
    Code.InvalidArgument,
    `${field} ${JSON.stringify(text)}: not an identifier (1 to 76 of A-Z a-z 0-9, with single . _ - between)`,
  );
}
