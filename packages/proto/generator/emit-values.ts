import protobuf from "protobufjs";
import { fieldEmpty, ident, readField, writeField } from "./fields.ts";
import { fullName, messagesOf } from "./load.ts";

const HEAD = `import { MessageCodec, readEntry } from "../codec.ts";

const NO_BYTES = new Uint8Array(0);
`;

function emitMessage(type: protobuf.Type): string {
  const name = ident(type);
  const fields = [...type.fieldsArray].sort((a, b) => a.id - b.id);
  const empty = fields.map((field) => `${field.name}: ${fieldEmpty(field)}`).join(", ");
  const write = [...fields].reverse().map((field) => `  ${writeField(field)}\n`);
  const cases = fields.flatMap(readField).map((clause) => `      ${clause}\n`);
  return `
const empty_${name} = () => ({ ${empty} });
function write_${name}(w, m) {
${write.join("")}}
function read_${name}(r, m) {
  while (r.pos < r.end) {
    const tag = r.tag();
    switch (tag) {
${cases.join("")}      default: r.skip(tag);
    }
  }
  return m;
}
`.replace("({  })", "({})");
}

function codecOf(type: protobuf.Type): string {
  const name = ident(type);
  return `new MessageCodec("${fullName(type)}", write_${name}, read_${name}, empty_${name})`;
}

/** `State` becomes `state`, `CloseIO` becomes `closeIO`. */
export function methodKey(name: string): string {
  return name.slice(0, 1).toLowerCase() + name.slice(1);
}

function serviceOf(service: protobuf.Service): string {
  const methods = service.methodsArray.map((method) => {
    const { resolvedRequestType: request, resolvedResponseType: response } = method;
    if (request === null || response === null) throw new Error(`${method.fullName}: unresolved`);
    const streaming = `clientStreaming: ${method.requestStream === true}, serverStreaming: ${method.responseStream === true}`;
    const codecs = `request: codec_${ident(request)}, response: codec_${ident(response)}`;
    return `    ${methodKey(method.name)}: { name: "${method.name}", ${codecs}, ${streaming} },\n`;
  });
  return `{\n  name: "${fullName(service)}",\n  methods: {\n${methods.join("")}  },\n}`;
}

function emitTree(object: protobuf.ReflectionObject): string {
  if (object instanceof protobuf.Type) return `codec_${ident(object)}`;
  if (object instanceof protobuf.Enum) return JSON.stringify(object.values);
  if (object instanceof protobuf.Service) return serviceOf(object);
  if (!(object instanceof protobuf.Namespace)) throw new Error(`${object.fullName}: unexpected`);
  return `{\n${object.nestedArray.map((nested) => `${nested.name}: ${emitTree(nested)},\n`).join("")}}`;
}

/** The JavaScript: one pair of functions per message, one exported tree per top package. */
export function emitValues(root: protobuf.Root): string {
  const types = messagesOf(root);
  const codecs = types.map((type) => `const codec_${ident(type)} = ${codecOf(type)};\n`);
  const trees = root.nestedArray.map((top) => `\nexport const ${top.name} = ${emitTree(top)};\n`);
  return `${HEAD}${types.map(emitMessage).join("")}\n${codecs.join("")}${trees.join("")}`;
}
