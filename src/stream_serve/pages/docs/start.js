// Show the API's description with Swagger UI.
window.SwaggerUIBundle({ url: "openapi.json", dom_id: "#docs", deepLinking: true });
