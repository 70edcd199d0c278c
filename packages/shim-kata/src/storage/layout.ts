import { InvalidSpec, type SharePlace } from "@trimaran/linux";

/** Where the agent mounts a pod's share in the guest. */
export const GUEST_SHARE = "/run/trimaran/shared";

/** struct sockaddr_un has room for so many bytes of a path, and a NUL. */
const MAX_SOCKET_PATH = 107;

/** A pod's paths of its share, all below one directory that the caller makes (0700) and removes. */
export interface ShareLayout {
  readonly place: SharePlace;
  /** QEMU's chardev of port `fs.0` connects here. It listens from the moment `openShare` resolves. */
  readonly guestSocket: string;
  readonly daemonSocket: string;
}

/** Throws InvalidSpec where the paths are too long for a socket. */
export function shareLayout(podDirectory: string): ShareLayout {
  const daemonSocket = `${podDirectory}/virtiofsd.sock`;
  if (Buffer.byteLength(daemonSocket) > MAX_SOCKET_PATH)
    throw new InvalidSpec(
      "pod directory",
      `a socket's path would be longer than ${MAX_SOCKET_PATH} bytes`,
      podDirectory,
    );
  return {
    place: { work: `${podDirectory}/work`, shared: `${podDirectory}/shared` },
    guestSocket: `${podDirectory}/fs.sock`,
    daemonSocket,
  };
}

/** A container's rootfs, or one of its volumes, as the guest finds it. */
export function guestPath(id: string, name: "rootfs" | number): string {
  return `${GUEST_SHARE}/${id}/${name}`;
}
