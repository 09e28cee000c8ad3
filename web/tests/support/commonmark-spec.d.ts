declare module "commonmark-spec" {
  const spec: { tests: { markdown: string; number: number }[] };
  export default spec;
}
