/** What the image can do with names: links where a runtime mounts, makes or opens something. Source: the CVE table of the runtime checklist. */
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { attack } from "./bed/attack.ts";
import { bind, type Config, mount } from "./bed/config.ts";

function withoutDev(config: Config): void {
  config.mounts = config.mounts.filter(({ destination }) => !destination.startsWith("/dev"));
}

attack("CVE-2019-18837, CVE-2024-45310: a mount's target leads out through a link; what is missing is made outside", {
  script: "true",
  image: (bed) => bed.link(bed.canary, "mnt"),
  config: ({ mounts }) => mounts.push(mount("/mnt/made", "tmpfs")),
  succeeded: (_, bed) => existsSync(join(bed.canary, "made")),
  refused: /mounts\[3\] "\/mnt\/made": target/,
});

attack("CVE-2024-45310: an empty file is made outside for the bind of a file", {
  script: "true",
  image: (bed) => bed.link("../../canary", "mnt"),
  config: ({ mounts }) => mounts.push(bind("/etc/hostname", "/mnt/made")),
  succeeded: (_, bed) => existsSync(join(bed.canary, "made")),
  refused: /mounts\[3\] "\/mnt\/made": target/,
});

for (const name of ["proc", "sys"]) {
  attack(
    `CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867: /${name} of the image is a link into a volume`,
    {
      script: `readlink /${name} && echo ran`,
      image: (bed) => {
        mkdirSync(bed.path("elsewhere"));
        bed.link("elsewhere", name);
      },
      config: ({ mounts }) => void (name === "sys" && mounts.push(mount("/sys", "sysfs"))),
      succeeded: ({ stdout }) => stdout.endsWith("ran\n"),
      refused: new RegExp(`"/${name}": target has a symlink in it`),
    },
  );
}

attack("CVE-2019-16884, CVE-2025-52881: a volume over /proc takes what is written to it", {
  script: "echo ran",
  image: (bed) => {
    mkdirSync(join(bed.volume, "self/attr"), { recursive: true });
    mkdirSync(join(bed.volume, "sys/net/ipv4"), { recursive: true });
  },
  config: (config, bed) => {
    config.mounts.push(bind(bed.volume, "/proc"));
    config.linux.sysctl = { "net.ipv4.ip_forward": "1" };
  },
  succeeded: ({ stdout }, bed) => stdout === "ran\n" && existsSync(join(bed.volume, "sys/net/ipv4/ip_forward")),
  refused: /mounts\[3\] "\/proc": is on another file system/,
});

attack("CVE-2025-52881: a volume over /proc/self/attr takes the label", {
  script: "echo ran",
  config: (config, bed) => {
    config.mounts.push(bind(bed.volume, "/proc/self/attr"));
    config.process.apparmorProfile = "confined";
  },
  succeeded: ({ stdout }, bed) => stdout === "ran\n" && existsSync(join(bed.volume, "exec")),
  refused: /mounts\[3\] "\/proc\/self\/attr": nothing may be mounted there/,
});

attack("CVE-2025-52881: the same by way of a link of the image to /proc", {
  script: "echo ran",
  image: (bed) => bed.link("/proc", "mnt"),
  config: (config, bed) => config.mounts.push(bind(bed.volume, "/mnt/self/attr")),
  // The naive runtime follows the link from the host's root: it mounts over the host's /proc, as its namespace has it.
  succeeded: ({ stdout }) => stdout === "ran\n",
  refused: /mounts\[3\] "\/mnt\/self\/attr": target/,
});

attack(
  "CVE-2026-41579, CVE-2026-47766: /dev of the image is a link: nodes and links are made outside, ptmx is removed",
  {
    script: "true",
    image: (bed) => bed.link(bed.canary, "dev"),
    config: withoutDev,
    succeeded: (_, bed) => existsSync(join(bed.canary, "null")),
    refused: /"?\/dev"?/,
  },
);

attack("the same with a relative link", {
  script: "true",
  image: (bed) => bed.link("../../canary", "dev"),
  config: withoutDev,
  succeeded: (_, bed) => existsSync(join(bed.canary, "null")),
  refused: /"?\/dev"?/,
});

attack("CVE-2026-88264, CVE-2026-88265: /dev/null of an image without a /dev mount is a link to a file of the host", {
  script: "echo overwritten > /dev/null",
  image: (bed) => bed.link("/etc/passwd", "dev/null"),
  config: withoutDev,
  succeeded: ({ code }) => code === 0,
  refused: /default device "\/dev\/null": is another kind of file than configured/,
});

attack("CVE-2025-31133, CVE-2025-62161: /dev/null is a link, and the mask a writable mount of its target", {
  script: "head -c 3 /proc/keys",
  image: (bed) => {
    writeFileSync(bed.path("tmp/target"), "own");
    bed.link("../tmp/target", "dev/null");
  },
  config: withoutDev,
  succeeded: ({ stdout }) => stdout === "own",
  refused: /default device "\/dev\/null": is another kind of file/,
});

attack("CVE-2025-52565: /dev/pts/0 is a link, and is mounted over /dev/console", {
  script: "head -c 3 /dev/console",
  image: (bed) => {
    writeFileSync(bed.path("tmp/target"), "own");
    symlinkSync(bed.path("tmp/target"), join(bed.volume, "0"));
  },
  config: (config, bed) => {
    config.process.terminal = true;
    config.mounts = config.mounts.filter(({ destination }) => destination !== "/dev/pts");
    config.mounts.push(bind(bed.volume, "/dev/pts"));
  },
  succeeded: ({ stdout }) => stdout === "own",
  refused: /process\.terminal/,
});

attack("CVE-2022-23648, CVE-2026-53489: what a tmpfs copies up is the host's", {
  script: "cat /mnt/secret",
  image: (bed) => bed.link(bed.canary, "mnt"),
  config: ({ mounts }) => mounts.push(mount("/mnt", "tmpfs", "tmpcopyup")),
  succeeded: (_, bed) => existsSync(join(bed.bundle, "copy/secret")),
  refused: /mounts\[3\] "\/mnt": target/,
});

attack("CVE-2025-24965: a working directory that is missing is made outside", {
  script: "true",
  image: (bed) => bed.link(bed.canary, "mnt"),
  config: ({ process }) => {
    process.cwd = "/mnt/made";
  },
  succeeded: (_, bed) => existsSync(join(bed.canary, "made")),
  refused: /process\.cwd "\/mnt\/made"/,
});

attack("every name that a runtime might make in a rootfs is a link to the outside", {
  script: "ls /dev >/dev/null && echo ran",
  image: (bed) => {
    for (const name of [
      ".config.json",
      "run",
      "etc/hostname",
      "etc/hosts",
      "etc/resolv.conf",
      "dev/console",
      "dev/fd",
      "dev/core",
    ])
      bed.link(`${bed.canary}/planted`, name);
  },
  config: withoutDev,
  succeeded: (_, bed) => readdirSync(bed.canary).includes("planted"),
});
