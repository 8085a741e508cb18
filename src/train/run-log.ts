/**
 * The log of a run: one JSON object a line, only ever appended to. A resumed run repeats the steps
 * after its checkpoint, so that reading means: a `resume` line takes back what came after its step.
 */
import { z } from "zod";

const finite = z.number();
const common = { time: z.string(), step: z.int().min(0) };

export const runEventSchema = z.discriminatedUnion("event", [
  z.object({ event: z.literal("start"), recipe: z.string(), ...common }),
  /** Goes on after `step`. */
  z.object({ event: z.literal("resume"), recipe: z.string(), ...common }),
  z.object({
    event: z.literal("stage"),
    stage: z.string(),
    stageIndex: z.int(),
    numStages: z.int(),
    /** Steps of the stage, and those already taken. */
    stageSteps: z.int(),
    stageStep: z.int(),
    parameters: z.int(),
    ...common,
  }),
  z.object({
    event: z.literal("step"),
    stage: z.string(),
    stageStep: z.int(),
    stageSteps: z.int(),
    loss: finite,
    gradientNorm: finite,
    rates: z.record(z.string(), finite),
    /** Supervised tokens, as the stage weighs them. */
    tokens: z.number().min(0),
    stepMs: finite,
    /** Of it, waiting for data. */
    dataMs: finite,
    ...common,
  }),
  z.object({
    event: z.literal("validation"),
    stage: z.string(),
    loss: finite,
    tokens: z.number().min(0),
    ...common,
  }),
  z.object({ event: z.literal("checkpoint"), saveMs: finite, ...common }),
  /** Numbers as text: JSON has no infinity. */
  z.object({
    event: z.literal("non-finite"),
    loss: z.string(),
    gradientNorm: z.string().optional(),
    batch: z.array(z.string()),
    parameter: z.string().nullable(),
    ...common,
  }),
  z.object({ event: z.literal("stop"), ...common }),
  z.object({ event: z.literal("end"), ...common }),
]);

export type RunEvent = z.infer<typeof runEventSchema>;
type EventOf<Name extends RunEvent["event"]> = Extract<RunEvent, { event: Name }>;

/** An event as its author gives it: the time is added when it is written. */
export type RunEventBody = RunEvent extends infer Event
  ? Event extends RunEvent
    ? Omit<Event, "time">
    : never
  : never;

export type RunLog = {
  write(event: RunEvent): Promise<void>;
  /** Makes sure that what was written survives a power cut. */
  flush(): Promise<void>;
  close(): Promise<void>;
};

export type RunHistory = {
  readonly events: readonly RunEvent[];
  /** Lines that are no event, such as the one that a kill cut short. */
  readonly brokenLines: number;
};

/** Reads a log: every event that still counts, in order. */
export const parseRunLog = (text: string): RunHistory => {
  let events: RunEvent[] = [];
  let brokenLines = 0;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      brokenLines += 1;
      continue;
    }
    const parsed = runEventSchema.safeParse(value);
    if (!parsed.success) {
      brokenLines += 1;
      continue;
    }
    const event = parsed.data;
    if (event.event === "resume") events = events.filter(({ step }) => step <= event.step);
    events.push(event);
  }
  return { events, brokenLines };
};

/** The steps of a history. */
export const stepsOf = ({ events }: RunHistory): EventOf<"step">[] =>
  events.filter((event) => event.event === "step");
