export { dockerCredentials, fixedCredentials } from "./docker-credentials.ts";
export {
  exportImages,
  importFile,
  inspectImage,
  listImages,
  parsePlatformText,
  pull,
  push,
  removeImage,
  tagImage,
} from "./images.ts";
