import type { DatabaseSync } from "node:sqlite";
import { Code, ManagerError } from "../errors/manager-error.ts";

/**
 * One script per version of the schema; a database has run the first `user_version` of them. Times are nanoseconds since 1970,
 * labels and annotations are JSON objects. Text is compared bytewise, which is the order that clients expect of lists.
 */
const VERSIONS: readonly string[] = [
  `
  create table counters (name text primary key, value integer not null) strict, without rowid;

  create table namespaces (name text primary key, labels text not null) strict, without rowid;

  create table images (
    namespace text not null, name text not null, labels text not null,
    media_type text not null, digest text not null, size integer not null, annotations text not null,
    created_at integer not null, updated_at integer not null,
    primary key (namespace, name)
  ) strict, without rowid;

  -- container: the message of the containers service
  create table containers (
    namespace text not null, id text not null, container blob not null,
    primary key (namespace, id)
  ) strict;

  create table leases (
    namespace text not null, id text not null, labels text not null, created_at integer not null,
    primary key (namespace, id)
  ) strict, without rowid;

  create table lease_resources (
    namespace text not null, lease text not null, type text not null, id text not null,
    primary key (namespace, lease, type, id),
    foreign key (namespace, lease) references leases (namespace, id) on delete cascade
  ) strict, without rowid;

  create table blobs (
    namespace text not null, digest text not null, size integer not null, labels text not null,
    created_at integer not null, updated_at integer not null,
    primary key (namespace, digest)
  ) strict, without rowid;
  create index blobs_by_digest on blobs (digest);

  create table ingests (
    namespace text not null, ref text not null, backend_ref text not null unique, expected text,
    started_at integer not null, expires_at integer,
    primary key (namespace, ref)
  ) strict;

  -- id: of the directory, never used again within a snapshotter
  create table snapshots (
    namespace text not null, snapshotter text not null, key text not null, id integer not null,
    kind text not null check (kind in ('active', 'view', 'committed')), parent text not null, labels text not null,
    created_at integer not null, updated_at integer not null, size integer, inodes integer,
    primary key (namespace, snapshotter, key),
    unique (snapshotter, id)
  ) strict;
  create index snapshots_by_parent on snapshots (namespace, snapshotter, parent);
  `,
  `
  -- sandbox: the message of the sandbox store
  create table sandboxes (
    namespace text not null, id text not null, sandbox blob not null,
    primary key (namespace, id)
  ) strict;
  `,
];

/** Run the scripts that a database has not seen. Throws FailedPrecondition for one that has seen more than there are. */
export function migrate(sqlite: DatabaseSync, path: string): void {
  const version = Number(sqlite.prepare("pragma user_version").get()?.user_version ?? 0);
  if (version > VERSIONS.length) {
    throw new ManagerError(
      Code.FailedPrecondition,
      `${path}: schema version ${version} is of a newer trimaran, this one knows up to ${VERSIONS.length}`,
    );
  }
  for (const [index, script] of VERSIONS.entries()) {
    if (index < version) continue;
    sqlite.exec(`begin immediate; ${script}; pragma user_version = ${index + 1}; commit`);
  }
}
