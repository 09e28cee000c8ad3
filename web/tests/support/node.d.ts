/** Of Node, what tests use. */

declare module "node:child_process" {
  interface Stream {
    on(event: "data", call: (piece: string) => void): void;
    setEncoding(name: string): void;
  }
  interface Child {
    readonly stderr: Stream;
    kill(): void;
    on(event: "exit", call: () => void): void;
  }
  export function spawn(command: string, args: string[], options: { env: Record<string, string>; stdio: string[] }): Child;
}

declare module "node:fs/promises" {
  export function mkdtemp(prefix: string): Promise<string>;
  export function rm(path: string, options: { recursive: boolean }): Promise<void>;
}

declare module "node:fs" {
  export function readFileSync(path: string, encoding: "utf8"): string;
  export function readdirSync(path: string, options: { recursive: true }): string[];
}
