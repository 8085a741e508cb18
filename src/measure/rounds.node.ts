/** Measuring side by side: on a machine that is not alone, only neighbours in time compare. */
import { setTimeout } from "node:timers/promises";
import { quietShare, waitForQuiet, watchOthers } from "./processors.node.js";

/** Threads of the task before spin on for a while, also PyTorch's; they are given time to sleep. */
const settleMs = 150;

/** How often a disturbed run is done at most. */
const maxTries = 4;

/** Long runs are done again less often: after so long, what there is has to do. */
const maxRetryMs = 20_000;

/** How long one call of `measureRounds` waits for others, in all. */
const defaultPatienceMs = 240_000;

/** What a task may say of itself; otherwise all of its time counts. */
export type Counted = {
  readonly milliseconds: number;
  /** Processor time that other processes spent for it. */
  readonly processorMs?: number;
};

export type Task<Result extends Counted | undefined = Counted | undefined> = () =>
  | Promise<Result>
  | Result;

export type RoundsOptions = {
  /** Rounds before the first that counts; default 1. */
  readonly warmUp?: number;
  /**
   * How long to wait for other processes to leave the processors alone, in all. With 0 nothing is
   * waited for and nothing done again.
   */
  readonly patienceMs?: number;
};

export type MeasuredRounds<Name extends string, Result> = {
  /** Each task's milliseconds, one a round. */
  readonly times: Record<Name, number[]>;
  /** What each task returned in those runs. */
  readonly results: Record<Name, Result[]>;
  /** Largest share of the processors that others had in any run that counts. */
  readonly shareOfOthers: number;
};

/**
 * Runs every task once a round, in the order given, so that a slow spell of the machine hits all
 * alike. The first round is not counted. A run that other processes disturbed is done again, a few
 * times; the least disturbed one counts.
 */
export const measureRounds = async <
  Name extends string,
  Result extends Counted | undefined = Counted | undefined,
>(
  tasks: Readonly<Record<Name, Task<Result>>>,
  rounds: number,
  onRound: (round: number, times: Readonly<Record<Name, number>>) => void = () => {},
  { warmUp = 1, patienceMs = defaultPatienceMs }: RoundsOptions = {},
): Promise<MeasuredRounds<Name, Result>> => {
  const names = Object.keys(tasks) as Name[];
  const listOfEach = <Value>(): Record<Name, Value[]> =>
    Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Value[]>;
  const times = listOfEach<number>();
  const results = listOfEach<Result>();
  let shareOfOthers = 0;
  let patience = patienceMs;

  const measure = async (task: Task<Result>) => {
    const startedMs = performance.now();
    await setTimeout(settleMs);
    if (patience > 0) await waitForQuiet(patience);
    patience = Math.max(0, patience - (performance.now() - startedMs));
    const sinceNow = watchOthers();
    const runStartedMs = performance.now();
    const result = await task();
    const ms = result?.milliseconds ?? performance.now() - runStartedMs;
    return { ms, result, share: sinceNow(result?.processorMs ?? 0) };
  };

  for (let round = 1 - warmUp; round <= rounds; round += 1) {
    const current = {} as Record<Name, number>;
    for (const name of names) {
      const startedMs = performance.now();
      let kept = await measure(tasks[name]);
      const mayRetry = (tries: number): boolean =>
        round > 0 &&
        patienceMs > 0 &&
        tries < maxTries &&
        performance.now() - startedMs < maxRetryMs;
      for (let tries = 1; kept.share > quietShare && mayRetry(tries); tries += 1) {
        const again = await measure(tasks[name]);
        if (again.share < kept.share) kept = again;
      }
      current[name] = kept.ms;
      if (round < 1) continue;
      times[name].push(kept.ms);
      results[name].push(kept.result);
      shareOfOthers = Math.max(shareOfOthers, kept.share);
    }
    onRound(round, current);
  }
  return { times, results, shareOfOthers };
};

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

export const best = (values: readonly number[]): number => Math.min(...values);

/**
 * How many times faster `b` is than `a`, each in its best round. What disturbs a machine only ever
 * adds time, so the shortest time is the one that was disturbed least.
 */
export const bestRatio = (a: readonly number[], b: readonly number[]): number => best(a) / best(b);

/** The same from medians over rounds of `a / b` within a round. */
export const medianRatio = (a: readonly number[], b: readonly number[]): number =>
  median(a.map((value, round) => value / b[round]));

/** Runs `task` `count` times within a round; returns the shortest milliseconds. */
export const repeat = async (task: () => Promise<unknown>, count: number): Promise<number> => {
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const startedMs = performance.now();
    await task();
    times.push(performance.now() - startedMs);
  }
  return best(times);
};
