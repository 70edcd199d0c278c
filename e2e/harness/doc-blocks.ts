import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";

/** A fenced block of a Markdown file. */
export interface DocBlock {
  readonly language: string;
  readonly text: string;
  /** Of its first line, from 1. */
  readonly line: number;
}

/** All of them, in order. A fence in a fence is not understood, and not used here. */
export function docBlocks(path: string): DocBlock[] {
  const blocks: DocBlock[] = [];
  let open: { language: string; line: number; lines: string[] } | undefined;
  for (const [at, line] of readFileSync(path, "utf8").split("\n").entries()) {
    const fence = /^```(\S*)/.exec(line);
    if (fence === null) open?.lines.push(line);
    else if (open === undefined) open = { language: fence[1] ?? "", line: at + 2, lines: [] };
    else {
      blocks.push({ language: open.language, line: open.line, text: open.lines.join("\n") });
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`${path}:${open.line}: a block without end`);
  return blocks;
}

/** A command to type. */
export interface DocCommand {
  readonly text: string;
  readonly line: number;
  /** Runs until it is interrupted, its comment says. */
  readonly isEndless: boolean;
}

/** The lines of all `sh` blocks, each a command line. Comments are for the reader. */
export function shellCommands(path: string): DocCommand[] {
  return docBlocks(path)
    .filter(({ language }) => language === "sh")
    .flatMap(({ text, line }) => text.split("\n").map((each, at) => ({ each, line: line + at })))
    .map(({ each, line }) => ({ text: each.replace(/(^| +)# .*$/, ""), line, isEndless: each.includes("Ctrl-C") }))
    .filter(({ text }) => text !== "");
}

/**
 * Run all `sh` blocks as they are, in one shell, up to the first command that fails. What the output of a block has must be in the block
 * that follows, if that one has no language: `output: TEXT`, a line each. Returns how many of both there were.
 */
export async function runDocument(path: string, cwd: string): Promise<{ commands: number; promises: number }> {
  const blocks = docBlocks(path);
  const shell = blocks.filter(({ language }) => language === "sh");
  const script = ["set -eu", ...shell.map((block) => `echo "@@${block.line}"\n${block.text}`)].join("\n");
  const child = spawn("bash", ["-c", script], { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  assert.equal(code, 0, `${path}: ${output.slice(output.lastIndexOf("@@"))}\n${errors}`);
  const parts = new Map(output.split("@@").map((part) => [Number.parseInt(part, 10), part]));
  let promises = 0;
  for (const [at, { language, line }] of blocks.entries())
    for (const promise of language === "sh" ? promisesAfter(blocks, at) : []) {
      promises++;
      assert.ok(parts.get(line)?.includes(promise), `${path}:${line}: no ${promise} in ${parts.get(line)}`);
    }
  return { commands: shell.length, promises };
}

function promisesAfter(blocks: readonly DocBlock[], at: number): string[] {
  const next = blocks[at + 1];
  if (next === undefined || next.language !== "") return [];
  return next.text.split("\n").map((line) => line.replace(/^output: /, ""));
}
