/** Cases of the AI SDK, by each of its providers for APIs like OpenAI's. */

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, isStepCount, jsonSchema, streamText, tool } from "ai";

import { serve } from "./cases.mjs";

const PROVIDERS = {
  compatible: (options) =>
    createOpenAICompatible({ name: "stream-serve", includeUsage: true, ...options }),
  chat: (options) => createOpenAI(options).chat,
  responses: (options) => createOpenAI(options),
};

function asking({ base_url: baseURL, key: apiKey, provider, model, retries = 0 }) {
  return {
    model: PROVIDERS[provider]({ baseURL, apiKey })(model),
    prompt: "Hello",
    maxRetries: retries,
  };
}

async function generate(words) {
  const { text, reasoningText, finishReason, usage } = await generateText(asking(words));
  return { text, reasoning: reasoningText, finishReason, usage };
}

/** Return the parts of a stream, joined by their kinds; a failure is one of them. */
async function stream(words) {
  const result = streamText({ ...asking(words), onError: () => {} });
  const seen = { text: "", reasoning: "", errors: [], finishReason: null, usage: null };
  for await (const part of result.stream) {
    if (part.type === "text-delta") seen.text += part.text;
    else if (part.type === "reasoning-delta") seen.reasoning += part.text;
    else if (part.type === "error") seen.errors.push(said(part.error));
    else if (part.type === "finish") {
      seen.finishReason = part.finishReason;
      seen.usage = part.totalUsage;
    }
  }
  return seen;
}

const said = (error) => ({
  name: error?.name ?? typeof error,
  message: error?.message ?? JSON.stringify(error),
});

/** Abort at the first text. */
async function abort(words) {
  const controller = new AbortController();
  const result = streamText({ ...asking(words), abortSignal: controller.signal });
  const kinds = [];
  for await (const part of result.stream) {
    kinds.push(part.type);
    if (part.type === "text-delta") controller.abort();
  }
  return kinds;
}

/** Return what a call in two turns says in each: the calls, and the answer to their results. */
async function tools(words) {
  const called = [];
  const weather = tool({
    inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } } }),
    execute: async (input, { toolCallId }) => {
      called.push({ id: toolCallId, input });
      return "22 °C";
    },
  });
  const result = streamText({
    ...asking(words),
    tools: { get_weather: weather, get_time: weather },
    stopWhen: isStepCount(2),
    prepareStep: ({ stepNumber }) =>
      stepNumber === 0 ? {} : { model: asking({ ...words, model: words.turn }).model },
  });
  await result.consumeStream();
  const steps = await result.steps;
  return { called, reasons: steps.map((step) => step.finishReason), answer: await result.text };
}

await serve({ generate, stream, abort, tools });
