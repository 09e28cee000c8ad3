// The types of client.js, for the type checker alone: those of the source that it is built from.
export * from "../../../clients/js/src/index.js";
