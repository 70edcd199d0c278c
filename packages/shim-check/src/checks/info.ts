import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { ANY, containerd } from "@trimaran/proto";
import { expectEqual, expectThat, NotOffered } from "../lab/finding.ts";
import type { Check } from "./check.ts";

export const INFO: readonly Check[] = [
  {
    id: "info.answer",
    title: "-info answers RuntimeInfo with a name in less than 1 s, from any folder, with empty stdin",
    sections: "2.9",
    numbers: [19],
    run: async (lab) => {
      const { options } = await lab.prepare("true");
      const ask = async () => {
        const began = performance.now();
        const done = await lab.invoke({ ...options, bundle: "/" }, "-info");
        return { ...done, tookMs: performance.now() - began };
      };
      const [done, again] = [await ask(), await ask()]; // the first may have to read the program from a disk
      const tookMs = Math.round(Math.min(done.tookMs, again.tookMs));
      if (done.code !== 0)
        throw new NotOffered(`-info: exit status ${done.code}: ${done.stderr}`.trim().split("\n")[0]);
      const info = containerd.types.RuntimeInfo.decode(done.stdout);
      expectThat("a name", info.name !== "", "none");
      expectThat("less than 1000 ms", tookMs < 1000, `${tookMs} ms`);
      if (info.features === undefined) return;
      expectEqual("the type of features", info.features.typeUrl, ANY.ociFeatures);
      const features: unknown = JSON.parse(Buffer.from(info.features.value).toString());
      expectThat("features that are a JSON object", typeof features === "object" && features !== null, features);
    },
  },
  {
    id: "info.version",
    title: "-v says what it is and exits with 0",
    sections: "2.2",
    numbers: [19],
    run: async (lab) => {
      const { stdout } = await promisify(execFile)(lab.target.binary, ["-v"], { cwd: "/", timeout: lab.limitMs });
      expectThat("words", stdout.trim() !== "", "nothing");
    },
  },
];
