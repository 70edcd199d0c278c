import assert from "node:assert/strict";
import { once } from "node:events";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Trimaran } from "../../packages/cli/src/testing/trimaran.ts";
import { Browser } from "../harness/browser.ts";
import { contrasts, unnamed } from "./page-checks.ts";

const RUNTIME = "io.containerd.trimaran-runc.v2";
/** What markup would run, in every name that a container has a say in. */
const HOSTILE = `<img src=x onerror=window.pwned=1>"'&`;

const PAGES = [
  ["#/", "Containers"],
  ["#/container/web", "web"],
  ["#/namespaces", "Namespaces"],
  ["#/starts", "Starts"],
] as const;

describe("trimaran ui, in a browser", () => {
  const trimaran = new Trimaran();
  const resources = new AsyncDisposableStack();
  let browser: Browser;
  let address: string;

  before(async () => {
    resources.use(await trimaran.startDaemon());
    const run = async (...words: string[]) => {
      const { code, stderr } = await trimaran.call("run", "--runtime", RUNTIME, ...words);
      assert.equal(code, 0, stderr);
    };
    const rootfs = join(trimaran.directory, `rootfs ${HOSTILE.replaceAll("/", "")}`);
    renameSync(trimaran.rootfs, rootfs);
    await run(
      "-d",
      "--name",
      "web",
      rootfs,
      "sh",
      "-c",
      `echo > '/${HOSTILE.replace("'", "")}'; rm /etc/passwd; sleep 1000`,
    );
    await run("-d", "--name", "host", "--net", "host", rootfs, "sleep", "1000");
    await run("--name", "failed", rootfs, "sh", "-c", "exit 0");
    const child = trimaran.start("ui");
    resources.defer(() => void child.kill("SIGTERM"));
    const [line] = (await once(child.stdout ?? child, "data")) as [Buffer];
    address = line.toString().trim();
    browser = resources.use(await Browser.open());
  });
  after(async () => {
    await trimaran.call("rm", "-f", "web", "host", "failed");
    await resources.disposeAsync();
    trimaran[Symbol.dispose]();
  });

  const text = (selector: string) =>
    browser.evaluate<string>(`document.querySelector(${JSON.stringify(selector)})?.innerText`);

  test("containers with what they use, live", async () => {
    await browser.go(address);
    await browser.until("document.querySelectorAll('tbody tr').length === 3");
    assert.equal(await browser.evaluate("location.hash"), "#/", "the token leaves the address bar");
    assert.match(await text("h1 + p"), /^3 in namespace trimaran-e2e, 2 of them running$/);
    await browser.until("[...document.querySelectorAll('tbody tr')].some((row) => / %/.test(row.innerText))");
    await browser.evaluate(
      "(input => { input.value = 'web'; input.dispatchEvent(new Event('input')); })(document.querySelector('input'))",
    );
    assert.equal(await browser.evaluate("document.querySelectorAll('tbody tr:not([hidden])').length"), 1);
  });

  test("layers, and what a container has changed, hostile names included", async () => {
    await browser.evaluate("location.hash = '#/container/web'");
    await browser.until("document.querySelector('h1')?.innerText === 'web' && document.querySelector('.change-added')");
    const shown = await text("main");
    assert.ok(shown.includes(`added\t/${HOSTILE.replace("'", "")}`), shown);
    assert.ok(shown.includes("deleted\t/etc/passwd"), shown);
    assert.ok(shown.includes("its own"), shown);
    assert.match(shown, /pid\s+pid:\[\d+\]/);
  });

  test("namespaces as sets", async () => {
    await browser.evaluate("location.hash = '#/namespaces'");
    await browser.until("document.querySelector('h1')?.innerText === 'Namespaces'");
    const member = (kind: string, id: string) =>
      browser.evaluate<string>(
        `[...document.querySelectorAll('.set')].filter((set) => set.dataset.identity.startsWith('${kind}:') && set.querySelector('[data-id="${id}"]')).map((set) => set.classList.contains('host') ? 'host' : 'own').join()`,
      );
    assert.equal(await member("net", "host"), "host");
    assert.equal(await member("net", "web"), "own");
    assert.equal(await member("pid", "host"), "own");
    assert.equal(await member("user", "web"), "host");
    await browser.evaluate("document.querySelector('[data-id=web]').focus()");
    assert.ok((await browser.evaluate<number>("document.querySelectorAll('.chip.same').length")) > 3);
  });

  test("where the time of a start goes", async () => {
    await browser.evaluate("location.hash = '#/starts'");
    await browser.until("document.querySelector('.waterfall')");
    assert.match(await text(".waterfall"), /create: [^\n]*\n+[\d.]+ ms, of \d/);
  });

  test("one start in full, from a file that run --trace-json has written", async () => {
    const span = (spanId: string, name: string, startNs: string, endNs: string, parentId?: string) => ({
      ...{ traceId: "0".repeat(32), spanId, name, process: "command", startNs, endNs },
      ...(parentId === undefined ? {} : { parentId }),
    });
    const spans = [span("b", HOSTILE, "90071992547409931000000", "90071992547409932500000", "a")];
    spans.unshift(span("a", "run", "90071992547409930000000", "90071992547409940000000"));
    const path = join(trimaran.directory, "start.json");
    writeFileSync(path, JSON.stringify({ unixOffsetNs: "0", spans }));
    const { root } = (await browser.send("DOM.getDocument")) as { readonly root: { readonly nodeId: number } };
    const selector = { nodeId: root.nodeId, selector: "input[type=file]" };
    const { nodeId } = await browser.send("DOM.querySelector", selector);
    await browser.send("DOM.setFileInputFiles", { nodeId, files: [path] });
    await browser.until("document.querySelector('[aria-live] .waterfall')");
    const shown = await text("[aria-live] .waterfall");
    assert.ok(shown.includes(`${HOSTILE} command`) && shown.includes("10.00 ms"), shown);
  });

  test("light and dark are readable, and everything that can be used has a name", async () => {
    for (const value of ["light", "dark"]) {
      await browser.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value }] });
      for (const [page, title] of PAGES) {
        await browser.evaluate(`location.hash = ${JSON.stringify(page)}`);
        await browser.until(`document.querySelector("main h1")?.innerText === "${title}"`);
        for (const { ratio, what } of await contrasts(browser))
          assert.ok(ratio >= 4.5, `${value} ${page}: ${ratio} ${what}`);
        assert.deepEqual(await unnamed(browser), []);
        await browser.picture(`${value} ${page.replaceAll(/\W/g, "")}`);
      }
    }
    const pixel = (value: string) =>
      browser
        .send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value }] })
        .then(() => browser.evaluate<string>("getComputedStyle(document.documentElement).backgroundColor"));
    assert.notEqual(await pixel("light"), await pixel("dark"));
  });

  test("no request leaves this machine, nothing ran, and nobody gets in without the token", async () => {
    const { origin } = new URL(address);
    assert.deepEqual(
      browser.requests.filter((url) => !url.startsWith(`${origin}/`) && url !== "data:,"),
      [],
    );
    assert.equal(await browser.evaluate("typeof window.pwned"), "undefined");
    assert.equal(await browser.evaluate("document.querySelectorAll('img, script:not([src])').length"), 0);
    assert.deepEqual(browser.complaints, []);
    for (const headers of [{}, { authorization: "Bearer x" }, { authorization: `Bearer ${"x".repeat(32)}` }])
      for (const path of ["overview", "container?id=web", "namespaces"])
        assert.equal((await fetch(`${origin}/api/${path}`, { headers })).status, 401);
    const page = await fetch(origin);
    assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'.*trusted-types 'none'/);
    const authorization = `Bearer ${new URL(address).hash.replace("#token=", "")}`;
    assert.equal((await fetch(`${origin}/api/overview`, { headers: { authorization } })).status, 200);
    assert.equal((await fetch(`${origin}/api/container?id=nope`, { headers: { authorization } })).status, 404);
    assert.equal((await fetch(`${origin}/../../../etc/passwd`, { headers: { authorization } })).status, 404);
    await browser.evaluate("sessionStorage.clear()");
    await browser.go(origin);
    await browser.until("document.querySelector('#trouble')?.innerText.includes('token')");
  });
});
