// The official conformance suite of Durable Streams 1.0, for vitest: DS_URL says where the server is.
import { runConformanceTests } from "@durable-streams/server-conformance-tests";

runConformanceTests({ baseUrl: process.env.DS_URL });
