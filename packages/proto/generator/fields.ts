import protobuf from "protobufjs";
import { fullName } from "./load.ts";

interface Scalar {
  /** Method of WireWriter and WireReader. */
  readonly method: string;
  readonly wireType: 0 | 1 | 2;
  readonly type: string;
  readonly empty: string;
}

const number = (method: string, wireType: 0 | 1 = 0): Scalar => ({ method, wireType, type: "number", empty: "0" });
const big = (method: string): Scalar => ({ method, wireType: 0, type: "bigint", empty: "0n" });
const SCALARS: Readonly<Record<string, Scalar>> = {
  uint32: number("uint32"),
  int32: number("int32"),
  double: number("double", 1),
  uint64: big("uint64"),
  int64: big("int64"),
  bool: { method: "bool", wireType: 0, type: "boolean", empty: "false" },
  string: { method: "string", wireType: 2, type: "string", empty: '""' },
  bytes: { method: "bytes", wireType: 2, type: "Uint8Array", empty: "NO_BYTES" },
};
/** Elements of a packed list are written without a tag. */
const RAW: Readonly<Record<string, string>> = {
  uint32: "varint",
  int32: "rawInt32",
  uint64: "rawUint64",
  int64: "rawInt64",
};

/** A function name for a message: dots become underscores. */
export function ident(type: protobuf.ReflectionObject): string {
  return fullName(type).replaceAll(".", "_");
}

function scalarOf(field: protobuf.Field): Scalar | undefined {
  if (field.resolvedType instanceof protobuf.Type) return undefined;
  const scalar = SCALARS[field.resolvedType instanceof protobuf.Enum ? "int32" : field.type];
  if (scalar === undefined) throw new Error(`${field.fullName}: ${field.type} needs a method in wire-writer.ts`);
  return scalar;
}

function messageOf(field: protobuf.Field): protobuf.Type {
  if (field.resolvedType instanceof protobuf.Type) return field.resolvedType;
  throw new Error(`${field.fullName}: not a message`);
}

function isOptional(field: protobuf.Field): boolean {
  return !field.repeated && !field.map && (scalarOf(field) === undefined || field.partOf !== null);
}

/** The field's type in a decoded message. */
export function fieldType(field: protobuf.Field): string {
  const scalar = scalarOf(field);
  const enumType = field.resolvedType instanceof protobuf.Enum ? fullName(field.resolvedType) : undefined;
  const item = enumType ?? scalar?.type ?? fullName(messageOf(field));
  if (field instanceof protobuf.MapField) return `Record<string, ${item}>`;
  if (field.repeated) return `${item}[]`;
  return isOptional(field) ? `${item} | undefined` : item;
}

/** The field's value before anything is read. */
export function fieldEmpty(field: protobuf.Field): string {
  if (field.map) return "{}";
  if (field.repeated) return "[]";
  return isOptional(field) ? "undefined" : (scalarOf(field)?.empty ?? "undefined");
}

/** Statements that write one value under a tag. */
function writeOne(field: protobuf.Field, id: number, value: string): string {
  const scalar = scalarOf(field);
  if (scalar === undefined) return `w.message(${(id << 3) | 2}, write_${ident(messageOf(field))}, ${value});`;
  return `w.${scalar.method}(${(id << 3) | scalar.wireType}, ${value});`;
}

/** An expression that reads one value. */
function readOne(field: protobuf.Field, old?: string): string {
  const scalar = scalarOf(field);
  if (scalar !== undefined) return `r.${scalar.method}()`;
  const name = ident(messageOf(field));
  return `r.message(read_${name}, ${old === undefined ? "" : `${old} ?? `}empty_${name}())`;
}

function isSet(field: protobuf.Field, value: string): string {
  if (isOptional(field)) return `${value} != null`;
  if (field.type === "double") return `${value} != null && ${value} !== 0`; // NaN counts
  return field.type === "bytes" ? `${value}?.length` : value;
}

/** The statement that writes a field of message `m` with writer `w`. */
export function writeField(field: protobuf.Field): string {
  const value = `m.${field.name}`;
  const tag = (field.id << 3) | 2;
  if (field instanceof protobuf.MapField) {
    if (field.keyType !== "string") throw new Error(`${field.fullName}: only string keys`);
    const entry = `const e = w.pos; ${writeOne(field, 2, "v")} w.string(10, k); w.close(${tag}, e);`;
    return `if (${value}) for (const [k, v] of Object.entries(${value}).reverse()) { ${entry} }`;
  }
  if (field.repeated) {
    const raw = field.packed ? RAW[scalarOf(field)?.method ?? ""] : undefined;
    const each = raw === undefined ? writeOne(field, field.id, `${value}[i]`) : `w.${raw}(${value}[i]);`;
    const loop = `for (let i = ${value}.length - 1; i >= 0; i--) ${each}`;
    if (raw === undefined) return `if (${value}) ${loop}`;
    return `if (${value}?.length) { const e = w.pos; ${loop} w.close(${tag}, e); }`;
  }
  return `if (${isSet(field, value)}) ${writeOne(field, field.id, value)}`;
}

/** The `case` clauses that read a field into message `m` with reader `r`. */
export function readField(field: protobuf.Field): string[] {
  const target = `m.${field.name}`;
  const scalar = scalarOf(field);
  const tag = (field.id << 3) | (field.map ? 2 : (scalar?.wireType ?? 2));
  if (field.map) {
    const value = scalar === undefined ? `empty_${ident(messageOf(field))}()` : scalar.empty;
    const valueTag = (2 << 3) | (scalar?.wireType ?? 2);
    return [`case ${tag}: readEntry(r, ${target}, ${value}, ${valueTag}, () => ${readOne(field)}); break;`];
  }
  if (!field.repeated) return [`case ${tag}: ${target} = ${readOne(field, target)}; break;`];
  const clauses = [`case ${tag}: ${target}.push(${readOne(field)}); break;`];
  if (scalar !== undefined && scalar.wireType !== 2) {
    const packed = `for (const end = r.close(); r.pos < end;) ${target}.push(${readOne(field)});`;
    clauses.push(`case ${(field.id << 3) | 2}: ${packed} break;`);
  }
  return clauses;
}
