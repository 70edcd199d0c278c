import { connectWhenThere } from "../qemu/connect.ts";

/** Ask the stand-in agent one line; the result is its answer. Throws the signal's reason when none comes. */
export async function askAgent(path: string, question: string, signal: AbortSignal): Promise<string> {
  const socket = await connectWhenThere(path, signal);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  let received = "";
  socket.setEncoding("utf8").on("data", (text: string) => {
    received += text;
    const end = received.indexOf("\n");
    if (end >= 0) resolve(received.slice(0, end));
  });
  socket.on("error", reject).on("close", () => reject(new Error(`${path}: closed before an answer`)));
  socket.write(`${question}\n`);
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", stop);
    socket.destroy();
  }
}
