/** What a registry, or its token server, is told about who we are. The values are secrets: they are in no error and no log. */
export type Credentials =
  | { readonly kind: "password"; readonly username: string; readonly secret: string }
  | { readonly kind: "refresh"; readonly token: string }
  | { readonly kind: "header"; readonly value: string };

/** What the one who has credentials gets to see. */
export interface CredentialRequest {
  /** The registry's host, with its port. */
  readonly host: string;
  /** `host/repository`, or a whole reference. */
  readonly reference: string;
  /** The WWW-Authenticate headers of the refusal. */
  readonly challenges: readonly string[];
}

/** Asked after a 401, once per host; undefined means: go on as nobody. */
export type CredentialSource = (request: CredentialRequest, signal: AbortSignal) => Promise<Credentials | undefined>;

/** Nobody, everywhere. */
export const ANONYMOUS: CredentialSource = () => Promise.resolve(undefined);
