/** The service itself, with its demo model and a database of its own, as the project's `.venv` has it. */

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";

export interface Real {
  readonly url: string;
  close(): Promise<void>;
}

/** Start it; `settings` are those of the environment, without their prefix. */
export async function service(settings: Record<string, string> = {}): Promise<Real> {
  const folder = await mkdtemp("/tmp/stream-serve-page-");
  const env: Record<string, string> = { PATH: "/usr/bin:/bin", STREAM_SERVE_DATABASE_URL: `sqlite:///${folder}/page.db` };
  for (const [name, value] of Object.entries(settings)) env[`STREAM_SERVE_${name}`] = value;
  const child = spawn("../.venv/bin/stream-serve", ["serve", "--port", "0"], { env, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) => child.on("exit", resolve));
  child.stderr.setEncoding("utf8");
  const url = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (piece) => {
      const [, address] = /"url": "([^"]+)"/.exec((said += piece)) ?? [];
      if (address) resolve(`${address}/`);
    });
    void ended.then(() => reject(new Error(`the service has ended: ${said}`)));
  });
  const close = async () => {
    child.kill();
    await ended;
    await rm(folder, { recursive: true });
  };
  return { url, close };
}
