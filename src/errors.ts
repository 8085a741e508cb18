/**
 * Every error that bad input can cause: one class per cause, so that callers can tell them apart.
 * The message is `where: rule, got value`, followed by the way out.
 */
export class SaccadeError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A symbolic or actual tensor has the wrong shape, rank or element type. */
export class ShapeError extends SaccadeError {}
/** A graph is built or used wrongly: foreign tensors, unknown inputs, operators without a gradient. */
export class GraphError extends SaccadeError {}
/** The execution provider asked for does not exist here; no other one is used in its place. */
export class ProviderUnavailableError extends SaccadeError {}
/** A session was used after it was closed, or its thread died. */
export class SessionClosedError extends SaccadeError {}
/** A result holds NaN or infinity. */
export class NonFiniteError extends SaccadeError {}

/** An option or argument has a value outside what it allows. */
export class OptionsError extends SaccadeError {}

/** An optional package that a feature needs is not installed. */
export class MissingPackageError extends SaccadeError {}

/** A safetensors file is truncated, corrupt or holds something the format forbids. */
export class SafetensorsError extends SaccadeError {}
/** Weights and architecture disagree: missing, unexpected or wrongly shaped tensors. */
export class WeightsMismatchError extends SaccadeError {
  constructor(
    message: string,
    readonly missing: readonly string[],
    readonly unexpected: readonly string[],
    readonly wrongShape: readonly string[],
  ) {
    super(message);
  }
}
/** `config.json` (or another settings file of a model) is missing, unreadable or contradictory. */
export class ModelConfigError extends SaccadeError {}
/** The architecture named by a model's config is none that we implement. */
export class UnknownArchitectureError extends SaccadeError {}
/** No such model folder, file or hub repository. */
export class ModelNotFoundError extends SaccadeError {}
/** Something must be downloaded, and `--offline` forbids it. */
export class OfflineError extends SaccadeError {}
/** A download failed or was cut short; what arrived is kept, and the next try continues. */
export class DownloadError extends SaccadeError {}

/** Bytes that are no readable image. */
export class ImageDecodeError extends SaccadeError {}
/** A video that cannot be read, or holds no frame. */
export class VideoDecodeError extends SaccadeError {}
/** An image, video or request is larger than an explicit limit (pixels, bytes, frames). */
export class LimitError extends SaccadeError {}

/** A prompt and its images do not fit each other or the method. */
export class PromptError extends SaccadeError {}
/** The prompt does not fit into the context; nothing is cut silently. */
export class ContextOverflowError extends SaccadeError {}
/** `tokenizer.json`, its settings or a chat template is missing or cannot be used. */
export class TokenizerError extends SaccadeError {}

/** A training recipe is unreadable, has unknown keys or contradicts itself. */
export class RecipeError extends SaccadeError {}
/** A checkpoint of a training run is damaged, belongs to another recipe, or cannot be written. */
export class CheckpointError extends SaccadeError {}
/** Another process trains in the same folder. */
export class RunLockedError extends SaccadeError {}

/** The files or settings of a dataset cannot be used, or too many of its records are bad. */
export class DatasetError extends SaccadeError {}
/** One record of a dataset is malformed; the others are not concerned. */
export class RecordError extends SaccadeError {}
/** Why a conversation gives no training sample. */
export type LabelErrorReason =
  | "tokens-do-not-align"
  | "nothing-supervised"
  | "too-long"
  | "template-refuses";
/** A conversation cannot be turned into token ids with labels. */
export class LabelError extends SaccadeError {
  constructor(
    readonly reason: LabelErrorReason,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
