// What other scripts put on the pages' window, for the type checker alone.

interface Window {
  /** Swagger UI, which /docs loads before its own script. */
  SwaggerUIBundle(options: { url: string; dom_id: string; deepLinking: boolean }): unknown;
}
