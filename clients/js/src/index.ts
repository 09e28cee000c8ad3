/** A client for stream-serve: answers that survive cut connections, hidden tabs, reloads and restarts, and a stop that stops. */

export { Client, type FollowOptions, type TailOptions } from "./client.js";
export { ConnectionError, RequestError, RunError, StreamServeError } from "./errors.js";
export type { ClientOptions } from "./http.js";
export { Run, type Callbacks, type Result, type State } from "./run.js";
export type * from "./types.js";
