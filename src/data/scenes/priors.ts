/** How far one gets without looking: the accuracy that a model has to beat. */
import type { Fineness, Question } from "./questions/question.js";

export type FamilyPrior = {
  readonly family: string;
  readonly fineness: Fineness;
  /** Questions of the family that it was measured on. */
  readonly numQuestions: number;
  /** Share that the commonest answer of the family gets right. */
  readonly byFamily: number;
  /** Share that the commonest answer to the very same question gets right, else the family's. */
  readonly byQuestion: number;
};

const commonest = (questions: readonly Question[], keyOf: (question: Question) => string) => {
  const counts = new Map<string, Map<string, number>>();
  for (const question of questions) {
    const key = keyOf(question);
    const answers = counts.get(key) ?? new Map<string, number>();
    answers.set(question.answer, (answers.get(question.answer) ?? 0) + 1);
    counts.set(key, answers);
  }
  return new Map(
    [...counts].map(([key, answers]) => {
      const [[best]] = [...answers].sort(([, first], [, second]) => second - first);
      return [key, best] as const;
    }),
  );
};

/** Learns answers from the text of the `seen` questions alone and scores them on `unseen` ones, by family. */
export const measurePriors = (
  seen: readonly Question[],
  unseen: readonly Question[],
): FamilyPrior[] => {
  const ofFamily = commonest(seen, ({ family }) => family);
  const ofQuestion = commonest(seen, ({ family, question }) => `${family}\n${question}`);
  const rows = new Map<string, { fineness: Fineness; all: number; family: number; text: number }>();
  for (const { family, fineness, question, answer } of unseen) {
    const row = rows.get(family) ?? { fineness, all: 0, family: 0, text: 0 };
    const guess = ofFamily.get(family);
    row.all += 1;
    row.family += guess === answer ? 1 : 0;
    row.text += (ofQuestion.get(`${family}\n${question}`) ?? guess) === answer ? 1 : 0;
    rows.set(family, row);
  }
  return [...rows].map(([family, { fineness, all, family: right, text }]) => ({
    family,
    fineness,
    numQuestions: all,
    byFamily: right / all,
    byQuestion: text / all,
  }));
};
