/**
 * What the programs here have in common: each runs cases of some clients, as their tests ask.
 *
 * A line of JSON on standard input names a case, and has its words; a line on standard output has what the
 * client saw, or what it threw. Whatever a client prints itself goes to standard error.
 */

import { createInterface } from "node:readline";

export const QUESTION = [{ role: "user", content: "Hello" }];

const answer = process.stdout.write.bind(process.stdout);
console.log = console.info = console.warn = console.error;

/** Run the cases that standard input asks for, until it ends. */
export async function serve(cases) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { case: name, ...words } = JSON.parse(line);
    let found;
    try {
      found = { saw: await cases[name](words) };
    } catch (error) {
      found = { raised: thrown(error) };
    }
    answer(`${JSON.stringify(found)}\n`);
  }
}

/** Return what a client's error says. */
export function thrown(error) {
  const { status, statusCode, code, param, type, requestID, isRetryable, responseBody } = error;
  return {
    name: error.constructor?.name ?? error.name,
    message: error.message,
    status_code: status ?? statusCode,
    code,
    param,
    type,
    request_id: requestID,
    isRetryable,
    responseBody,
  };
}
