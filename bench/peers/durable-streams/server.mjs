/** The reference server of Durable Streams, as it comes: in memory, or with its files in DATA_DIR. */

import { DurableStreamTestServer } from "@durable-streams/server";

const dataDir = process.env.DATA_DIR;
const server = new DurableStreamTestServer({
  port: Number(process.env.PORT),
  host: "127.0.0.1",
  ...(dataDir ? { dataDir } : {}),
});
await server.start();
