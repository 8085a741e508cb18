/** Who answers: the server, or a model in this browser. The page knows no difference. */
import type { Budget, PastMessage } from "../data/conversation.js";
import type { Figures, Plan } from "../data/figures.js";

/** A question with everything before it. */
export type Asked = {
  readonly messages: readonly PastMessage[];
  readonly budget: Budget;
  readonly systemText: string;
  readonly temperature: number;
  readonly maxTokens: number;
};

export type AnswerEvents = {
  /** What will be done, before anything is computed. */
  readonly onPlan: (plan: Plan) => void;
  readonly onText: (text: string) => void;
};

export type Answerer = {
  /** What a question will cost. Throws what is wrong with it. */
  plan(asked: Asked, signal: AbortSignal): Promise<Plan>;
  /** Answers; aborting throws the signal's reason. */
  answer(asked: Asked, events: AnswerEvents, signal: AbortSignal): Promise<Figures>;
};
