// A request as a curl command that can be pasted into a shell.

/** @import { Call } from "./service.js" */

/**
 * Quote a word for a POSIX shell: nothing in it is expanded.
 * @param {string} word
 */
function quote(word) {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * @param {Call} request
 * @param {string} base where the service is
 * @returns {string} the key is never written out: the shell's `$STREAM_SERVE_API_KEY` stands for it
 */
export function curl(request, base) {
  const stops = request.path.endsWith("/stop");
  const option = stops ? `-X ${request.method}` : "-N";
  const words = [`curl ${option} ${quote(base + request.path)}`];
  for (const [name, value] of Object.entries(request.headers)) {
    if (name === "Authorization") words.push('-H "Authorization: Bearer $STREAM_SERVE_API_KEY"');
    else words.push(`-H ${quote(`${name}: ${value}`)}`);
  }
  if (request.body !== undefined) words.push(`--data-raw ${quote(request.body)}`);
  return words.join(" \\\n  ");
}
