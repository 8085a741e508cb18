import type { Decoder, DecoderCache } from "./decoder.js";

export type WrittenToken = {
  readonly id: number;
  /** Text that became certain with this token; may be empty. */
  readonly text: string;
  /** Nothing follows. */
  readonly isLast: boolean;
};

/** Chooses the tokens of one sequence. */
export type SequenceWriter = {
  /** Takes the scores of the next token, [W]. */
  take(scores: Float32Array): WrittenToken;
};

/** A sequence that is being continued. */
export type SequenceRun = {
  /** Tokens as they come. Leaving early takes the sequence out of the batch. */
  readonly tokens: AsyncGenerator<WrittenToken, void>;
  /** The sequence's own cache again, once `tokens` has ended; undefined if the batch broke. */
  readonly cache: Promise<DecoderCache | undefined>;
};

/** Decodes sequences that come and go together: one step of the model gives each of them a token. */
export type SequenceBatch = {
  /** Sequences decoded together at the moment. */
  readonly size: number;
  /** Tokens that these hold in the cache. */
  readonly cachedTokens: number;
  /**
   * Continues a sequence: `cache` (one row) holds its prompt and becomes the batch's; `scores` are
   * those of its first token. Its tokens do not depend on the sequences beside it.
   */
  continueSequence(
    cache: DecoderCache,
    scores: Float32Array,
    writer: SequenceWriter,
    signal?: AbortSignal,
  ): SequenceRun;
};

/** Tokens that a sequence may be ahead of its reader; a reader that stops reading stops its sequence. */
const readAhead = 16;
/** Caches grow by steps of so many tokens, and by a quarter at least. */
export const capacityStep = 64;

export const roundUpCapacity = (tokens: number, contextLength: number): number =>
  Math.min(Math.ceil(tokens / capacityStep) * capacityStep, contextLength);

type Member = {
  readonly writer: SequenceWriter;
  readonly waiting: WrittenToken[];
  /** Its one-row cache, before it joins and after it left. */
  cache: DecoderCache | undefined;
  lastId: number;
  /** Its last token was written, or its reader left. */
  isOver: boolean;
  failure: { readonly error: unknown } | undefined;
  wake: () => void;
  readonly settle: (cache: DecoderCache | undefined) => void;
};

const powerOfTwo = (count: number): number => 2 ** Math.ceil(Math.log2(count));

/**
 * Continuous batching: a sequence joins between two steps and leaves when it is over. Rows of the
 * shared cache are kept without gaps, so a step computes just the sequences there are; a sequence
 * that is alone is decoded in its own cache, without a copy.
 */
export const createSequenceBatch = (decoder: Decoder): SequenceBatch => {
  /** Row r of `shared` is `members[r]`. */
  let shared: DecoderCache | undefined;
  const members: Member[] = [];
  const joining: Member[] = [];
  let isLooping = false;

  const rebuild = async (rows: number, capacity: number): Promise<DecoderCache> => {
    const old = shared as DecoderCache;
    const made = await decoder.createCache(rows, capacity);
    for (let row = 0; row < members.length; row += 1) await decoder.copyRow(old, row, made, row);
    await decoder.releaseCache(old);
    shared = made;
    return made;
  };

  /** Makes room for `numMembers` rows of `numTokens` each; gives memory back when little is in use. */
  const makeRoom = async (numMembers: number, numTokens: number): Promise<DecoderCache> => {
    const cache = shared as DecoderCache;
    const rows = powerOfTwo(numMembers);
    const needed = roundUpCapacity(numTokens, decoder.contextLength);
    const isSmall = rows > cache.batch || numTokens > cache.capacity;
    const isLarge = cache.batch >= 4 * rows || cache.capacity >= 4 * needed;
    if (!isSmall && !isLarge) return cache;
    const grown = roundUpCapacity(1.25 * cache.capacity, decoder.contextLength);
    const capacity =
      numTokens > cache.capacity ? Math.max(needed, grown) : isLarge ? needed : cache.capacity;
    return rebuild(Math.max(rows, isLarge ? 1 : cache.batch), capacity);
  };

  const longest = (): number => Math.max(0, ...(shared?.lengths.slice(0, members.length) ?? []));

  const join = async (member: Member): Promise<void> => {
    const own = member.cache as DecoderCache;
    if (shared === undefined) {
      shared = own;
    } else {
      const cache = await makeRoom(members.length + 1, Math.max(longest(), own.lengths[0]) + 1);
      await decoder.copyRow(own, 0, cache, members.length);
      await decoder.releaseCache(own);
    }
    member.cache = undefined;
    members.push(member);
  };

  const leave = async (member: Member): Promise<void> => {
    const cache = shared as DecoderCache;
    const row = members.indexOf(member);
    if (cache.batch === 1) {
      member.cache = cache;
      shared = undefined;
    } else {
      const length = cache.lengths[row];
      const own = await decoder.createCache(1, roundUpCapacity(length, decoder.contextLength));
      await decoder.copyRow(cache, row, own, 0);
      member.cache = own;
      const last = members.length - 1;
      if (row !== last) await decoder.copyRow(cache, last, cache, row);
      members[row] = members[last];
      cache.lengths[last] = 0;
    }
    members.pop();
    if (members.length === 0 && shared !== undefined) {
      await decoder.releaseCache(shared);
      shared = undefined;
    }
    member.settle(member.cache);
  };

  const take = (member: Member, scores: Float32Array): void => {
    const token = member.writer.take(scores);
    member.lastId = token.id;
    member.isOver ||= token.isLast;
    member.waiting.push(token);
  };

  const isReady = ({ isOver, waiting }: Member): boolean => !isOver && waiting.length < readAhead;

  /** One round: who left, who joins, and a token for each sequence whose reader keeps up. */
  const step = async (): Promise<boolean> => {
    for (const member of members.filter(({ isOver }) => isOver)) await leave(member);
    for (const member of joining.splice(0)) {
      if (member.isOver) member.settle(member.cache);
      else await join(member);
    }
    const ready = new Set(members.filter(isReady));
    if (ready.size === 0) return joining.length > 0 || members.some(({ isOver }) => isOver);
    const cache = await makeRoom(members.length, longest() + 1);
    const ids = members.map((member) => (ready.has(member) ? member.lastId : undefined));
    const scores = await decoder.step(cache, ids);
    for (const [row, member] of members.entries()) {
      if (!ready.has(member) || member.isOver) continue;
      take(member, scores[row]);
      member.wake();
    }
    return true;
  };

  const failAll = (error: unknown): void => {
    for (const member of [...members.splice(0), ...joining.splice(0)]) {
      member.failure = { error };
      member.settle(member.cache);
      member.wake();
    }
    const broken = shared;
    shared = undefined;
    // The engine may be gone with its memory; what is wrong is already being told.
    if (broken !== undefined) decoder.releaseCache(broken).catch(() => {});
  };

  const loop = async (): Promise<void> => {
    if (isLooping) return;
    isLooping = true;
    try {
      // Those who ask at the same time start together.
      await Promise.resolve();
      while (await step());
    } catch (error) {
      failAll(error);
    } finally {
      isLooping = false;
    }
    if (joining.length > 0 || members.some((member) => member.isOver || isReady(member))) {
      void loop();
    }
  };

  const continueSequence: SequenceBatch["continueSequence"] = (cache, scores, writer, signal) => {
    let settle: Member["settle"] = () => {};
    const settled = new Promise<DecoderCache | undefined>((resolve) => {
      settle = resolve;
    });
    const member: Member = {
      writer,
      waiting: [],
      cache,
      lastId: 0,
      isOver: false,
      failure: undefined,
      wake: () => {},
      settle,
    };

    async function* tokens(): AsyncGenerator<WrittenToken, void> {
      const onAbort = (): void => member.wake();
      signal?.addEventListener("abort", onAbort);
      try {
        signal?.throwIfAborted();
        take(member, scores);
        if (!member.isOver) joining.push(member);
        for (;;) {
          if (!member.isOver) void loop();
          const token = member.waiting.shift();
          if (token !== undefined) {
            yield token;
            signal?.throwIfAborted();
            continue;
          }
          if (member.failure !== undefined) throw member.failure.error;
          if (member.isOver) return;
          await new Promise<void>((resolve) => {
            member.wake = resolve;
          });
          signal?.throwIfAborted();
        }
      } finally {
        signal?.removeEventListener("abort", onAbort);
        member.isOver = true;
        if (members.includes(member) || joining.includes(member)) void loop();
        else member.settle(member.cache);
      }
    }
    return { tokens: tokens(), cache: settled };
  };

  return {
    get size() {
      return members.length;
    },
    get cachedTokens() {
      const lengths = shared?.lengths.slice(0, members.length) ?? [];
      return lengths.reduce((sum, length) => sum + length, 0);
    },
    continueSequence,
  };
};
