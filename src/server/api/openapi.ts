/** The interface as an OpenAPI 3.1 document, made from the schemas that requests are checked with. */
import { z } from "zod";
import { chatRequestSchema } from "./chat-request.js";
import { responsesRequestSchema } from "./responses-request.js";
import { tokenizeSchema } from "./tokenize-request.js";
import { modelSchema, visionSchema } from "./vision-schema.js";

const jsonSchema = (schema: z.ZodType) => {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return rest;
};

const errorSchema = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["message", "type", "param", "code"],
      properties: {
        message: { type: "string" },
        type: { type: "string" },
        param: { type: ["string", "null"] },
        code: { type: ["string", "null"] },
      },
    },
  },
};

const errors = {
  "400": "The request is wrong; `error.param` names the field",
  "401": "No valid API key",
  "403": "A medium, file or host that is not allowed",
  "404": "No such model",
  "413": "Larger than the server's limits",
  "415": "Not JSON",
  "429": "Too many requests are waiting; `Retry-After` says when to try again",
  "500": "The server failed",
  "503": "Loading, shutting down, or waited too long",
  "504": "The answer took too long",
};

const errorResponses = Object.fromEntries(
  Object.entries(errors).map(([status, description]) => [
    status,
    {
      description,
      content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
    },
  ]),
);

const answer = (description: string, types: readonly string[], schema: object = {}) => ({
  "200": {
    description,
    content: Object.fromEntries(types.map((type) => [type, { schema }])),
  },
  ...errorResponses,
});

const reference = (name: string) => ({ $ref: `#/components/schemas/${name}` });
/** An answer of OpenAI's form with what was done to its images. */
const withVision = { type: "object", properties: { vision: reference("Vision") } };

const post = (
  summary: string,
  schema: string,
  types: readonly string[],
  answered: object = withVision,
) => ({
  post: {
    summary,
    requestBody: {
      required: true,
      content: { "application/json": { schema: reference(schema) } },
    },
    responses: answer(summary, types, answered),
  },
});

const get = (
  summary: string,
  type = "application/json",
  parameters: readonly object[] = [],
  answered: object = {},
) => ({
  get: { summary, parameters, responses: answer(summary, [type], answered) },
});

const json = ["application/json"];
const jsonOrStream = [...json, "text/event-stream"];
const idParameter = { name: "id", in: "path", required: true, schema: { type: "string" } };

export const createOpenApiDocument = (version: string, needsKey: boolean) => ({
  openapi: "3.1.0",
  info: {
    title: "Saccade",
    version,
    description:
      "Vision-language models with a token budget for each request. OpenAI's Chat Completions and Responses; what was done to every image comes back in `vision`.",
    license: { name: "Apache-2.0", identifier: "Apache-2.0" },
  },
  ...(needsKey && { security: [{ bearer: [] }] }),
  paths: {
    "/v1/chat/completions": post("Answer a conversation", "ChatRequest", jsonOrStream),
    "/v1/chat/completions/input_tokens": post(
      "Count a conversation's tokens; nothing runs",
      "ChatRequest",
      json,
    ),
    "/v1/responses": post("Answer, in the Responses form", "ResponsesRequest", jsonOrStream),
    "/v1/responses/input_tokens": post("Count tokens; nothing runs", "ResponsesRequest", json),
    "/v1/models": get("List the models", "application/json", [], {
      type: "object",
      properties: { data: { type: "array", items: reference("Model") } },
    }),
    "/v1/models/{id}": get("One model", "application/json", [idParameter], reference("Model")),
    "/models/{id}/{file}": get(
      "A file of a model that pages may fetch (`browser.files` of the model); whole or a range",
      "application/octet-stream",
      [idParameter, { ...idParameter, name: "file" }],
    ),
    "/v1/files": {
      ...get("List this client's uploads"),
      post: {
        summary: "Upload an image or video",
        requestBody: {
          required: true,
          content: {
            "multipart/form-data": {
              schema: {
                type: "object",
                required: ["file", "purpose"],
                properties: {
                  file: { type: "string", contentMediaType: "application/octet-stream" },
                  purpose: { enum: ["vision", "user_data"] },
                },
              },
            },
          },
        },
        responses: answer("The upload", json),
      },
    },
    "/v1/files/{id}": {
      ...get("One upload", "application/json", [idParameter]),
      delete: {
        summary: "Delete an upload",
        parameters: [idParameter],
        responses: answer("Deleted", json),
      },
    },
    "/tokenize": post("A text as token ids", "TokenizeRequest", json, {}),
    "/props": get("Limits and models"),
    "/health": get("200 when models are loaded, 503 before"),
    "/metrics": get("Prometheus metrics", "text/plain"),
  },
  components: {
    schemas: {
      ChatRequest: jsonSchema(chatRequestSchema),
      ResponsesRequest: jsonSchema(responsesRequestSchema),
      TokenizeRequest: jsonSchema(tokenizeSchema),
      Vision: visionSchema,
      Model: modelSchema,
      Error: errorSchema,
    },
    ...(needsKey && { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } }),
  },
});
