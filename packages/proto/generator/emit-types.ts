import protobuf from "protobufjs";
import { methodKey } from "./emit-values.ts";
import { fieldType } from "./fields.ts";
import { fullName } from "./load.ts";

const HEAD = `import type { MessageCodec, MethodDescriptor } from "../codec.ts";
`;

function comment(object: protobuf.ReflectionObject): string {
  return object.comment === null ? "" : `/** ${object.comment.replace(/\s*\n\s*/g, " ")} */\n`;
}

function emitMessage(type: protobuf.Type): string {
  const fields = [...type.fieldsArray].sort((a, b) => a.id - b.id);
  const lines = fields.map((field) => `${comment(field)}${field.name}: ${fieldType(field)};\n`);
  const codec = `const ${type.name}: MessageCodec<${type.name}>;\n`;
  return `${comment(type)}interface ${type.name} {\n${lines.join("")}}\n${codec}`;
}

function emitEnum(type: protobuf.Enum): string {
  const values = Object.entries(type.values).map(([name, value]) => `readonly ${name}: ${value};\n`);
  return `${comment(type)}type ${type.name} = number;\nconst ${type.name}: {\n${values.join("")}};\n`;
}

function emitService(service: protobuf.Service): string {
  const methods = service.methodsArray.map((method) => {
    const { resolvedRequestType: request, resolvedResponseType: response } = method;
    if (request === null || response === null) throw new Error(`${method.fullName}: unresolved`);
    const streaming = `${method.requestStream === true}, ${method.responseStream === true}`;
    const types = `${fullName(request)}, ${fullName(response)}, ${streaming}`;
    return `${comment(method)}readonly ${methodKey(method.name)}: MethodDescriptor<${types}>;\n`;
  });
  const name = `readonly name: "${fullName(service)}";\n`;
  return `${comment(service)}const ${service.name}: {\n${name}readonly methods: {\n${methods.join("")}};\n};\n`;
}

function emit(object: protobuf.ReflectionObject): string {
  if (object instanceof protobuf.Type) {
    if (object.nestedArray.length > 0) throw new Error(`${object.fullName}: nested types are not supported`);
    return emitMessage(object);
  }
  if (object instanceof protobuf.Enum) return emitEnum(object);
  if (object instanceof protobuf.Service) return emitService(object);
  if (!(object instanceof protobuf.Namespace)) throw new Error(`${object.fullName}: unexpected`);
  return `namespace ${object.name} {\n${object.nestedArray.map(emit).join("")}}\n`;
}

/** The declarations: an interface and a codec of the same name per message, inside of namespaces like the packages. */
export function emitTypes(root: protobuf.Root): string {
  return HEAD + root.nestedArray.map((top) => `\nexport ${emit(top)}`).join("");
}
