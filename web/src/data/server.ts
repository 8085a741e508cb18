/** The server that sent this page. */
import type { DownsampleMode } from "./conversation.js";
import { loadApiKey } from "./settings.js";

/** A model as `/v1/models` lists it. */
export type ModelCard = {
  readonly id: string;
  readonly max_model_len: number;
  readonly architecture: {
    readonly input_modalities: readonly string[];
    readonly system: string;
  };
  readonly vision: {
    readonly tokens_per_image: number;
    readonly max_media: number | null;
    readonly granularities: readonly number[] | null;
    readonly has_router: boolean;
    readonly max_slices: number | null;
    readonly downsample_modes: readonly DownsampleMode[] | null;
  };
  readonly status: "loaded" | "unloaded";
  readonly browser: { readonly files: string; readonly bytes: number } | null;
};

/** What may be sent, as `/props` says. */
export type Limits = { readonly max_media_bytes: number; readonly max_answer_tokens: number };

/** The server said no; `code` is its own name for the reason. */
export class ServerError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
  ) {
    super(message);
  }
}

/** Header with the key that this tab was given, if it was. */
export const authorization = (): Record<string, string> => {
  const key = loadApiKey();
  return key === "" ? {} : { authorization: `Bearer ${key}` };
};

type ErrorBody = { readonly error?: { readonly message?: string; readonly code?: string } };

/** Asks the server. Throws `ServerError` for a refusal, and `Error` when nothing answers. */
export const request = async (path: string, init: RequestInit = {}): Promise<Response> => {
  const headers = { ...authorization(), ...init.headers };
  let response: Response;
  try {
    response = await fetch(new URL(path, document.baseURI), { ...init, headers });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new Error("The server does not answer. Is it still running?", { cause });
  }
  if (response.ok) return response;
  const body = (await response.json().catch(() => ({}))) as ErrorBody;
  throw new ServerError(
    body.error?.message ?? `The server answered ${response.status}.`,
    response.status,
    body.error?.code ?? "",
  );
};

export const postJson = (path: string, body: object, signal?: AbortSignal): Promise<Response> =>
  request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });

export const listModels = async (): Promise<{
  readonly models: readonly ModelCard[];
  readonly limits: Limits;
}> => {
  const props = await (await request("props")).json();
  return props as { models: ModelCard[]; limits: Limits };
};
