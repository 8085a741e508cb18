import * as errors from "../../errors.js";
import { SaccadeError } from "../../errors.js";

export type ApiErrorType =
  | "invalid_request_error"
  | "authentication_error"
  | "permission_error"
  | "not_found_error"
  | "rate_limit_error"
  | "timeout_error"
  | "unavailable_error"
  | "server_error";

export type ApiErrorDetails = {
  readonly type: ApiErrorType;
  readonly code: string;
  /** The field at fault, as `messages[0].content`. */
  readonly param?: string;
  /** Seconds after which trying again makes sense. */
  readonly retryAfterSeconds?: number;
};

/** An error as a client sees it, in OpenAI's form. */
export class ApiError extends SaccadeError {
  constructor(
    readonly status: number,
    message: string,
    readonly details: ApiErrorDetails,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  toJSON() {
    const { type, code, param = null } = this.details;
    return { error: { message: this.message, type, param, code } };
  }
}

/** A field with a value that it cannot have. */
export const invalidRequest = (message: string, code: string, param?: string): ApiError =>
  new ApiError(400, message, {
    type: "invalid_request_error",
    code,
    ...(param !== undefined && { param }),
  });

/** How the errors that a request can cause are told; every other one is the server's own fault. */
const requestErrors: readonly (readonly [abstract new (...args: never[]) => Error, string])[] = [
  [errors.ContextOverflowError, "context_length_exceeded"],
  [errors.LimitError, "limit_exceeded"],
  [errors.ImageDecodeError, "invalid_image"],
  [errors.VideoDecodeError, "invalid_video"],
  [errors.PromptError, "invalid_prompt"],
  [errors.OptionsError, "invalid_value"],
  [errors.TokenizerError, "invalid_text"],
];

/** The sentence of a library's message without the function that it names first. */
const plainMessage = (message: string): string => message.replace(/^[a-zA-Z]+(\([^)]*\))?: /, "");

/** Any error as a client may see it. What is the server's own fault is told without its details. */
export const toApiError = (error: unknown, requestId: string): ApiError => {
  if (error instanceof ApiError) return error;
  for (const [type, code] of requestErrors) {
    if (error instanceof type) return invalidRequest(plainMessage(error.message), code);
  }
  return new ApiError(
    500,
    `The server failed to answer; its log has the reason under the request id ${requestId}.`,
    { type: "server_error", code: "internal_error" },
    { cause: error },
  );
};
