/** How closely a model looks, as far as it leaves a choice. */
import type { Budget } from "../data/conversation.js";
import type { ModelCard } from "../data/server.js";
import { tokensText } from "./format.js";

type Choice = { readonly value: string; readonly label: string; readonly hint?: string };

const Segments = ({
  legend,
  name,
  choices,
  value,
  onChange,
}: {
  readonly legend: string;
  readonly name: string;
  readonly choices: readonly Choice[];
  readonly value: string;
  readonly onChange: (value: string) => void;
}) => (
  <fieldset class="segments">
    <legend>{legend}</legend>
    <div>
      {choices.map((choice) => (
        <label key={choice.value} title={choice.hint}>
          <input
            type="radio"
            name={name}
            value={choice.value}
            checked={choice.value === value}
            onChange={() => onChange(choice.value)}
          />
          <span>{choice.label}</span>
        </label>
      ))}
    </div>
  </fieldset>
);

/** The same budget with one part of it changed; undefined leaves that part to the model. */
const withPart = <Key extends keyof Budget>(
  budget: Budget,
  key: Key,
  value: Budget[Key] | undefined,
): Budget => {
  const { [key]: _, ...rest } = budget;
  return value === undefined ? rest : { ...rest, [key]: value };
};

/** A budget in a few words. */
export const budgetText = (
  { vision }: ModelCard,
  { granularity, maxSlices, downsampleMode }: Budget,
): string => {
  if (granularity !== undefined) return `${tokensText(granularity)} a view`;
  const asked = [
    downsampleMode?.replace("x", "×"),
    maxSlices !== undefined && `at most ${maxSlices} slices`,
  ].filter(Boolean);
  if (asked.length > 0) return asked.join(", ");
  const hasChoice = vision.granularities !== null || vision.max_slices !== null;
  return hasChoice ? "auto" : `${tokensText(vision.tokens_per_image)} an image`;
};

export const BudgetControl = ({
  model,
  budget,
  name,
  onChange,
}: {
  readonly model: ModelCard;
  readonly budget: Budget;
  /** Unlike that of any other control on the page. */
  readonly name: string;
  readonly onChange: (budget: Budget) => void;
}) => {
  const { granularities, has_router, max_slices, downsample_modes, tokens_per_image } =
    model.vision;
  if (granularities !== null) {
    return (
      <Segments
        legend="Tokens of a view"
        name={`${name}-granularity`}
        value={String(budget.granularity ?? "")}
        choices={[
          {
            value: "",
            label: "Auto",
            hint: has_router ? "The model's router chooses for this question" : "The finest",
          },
          ...granularities.map((tokens) => ({
            value: String(tokens),
            label: String(tokens),
            hint: `${tokensText(tokens)} of every view`,
          })),
        ]}
        onChange={(value) =>
          onChange(withPart(budget, "granularity", value === "" ? undefined : Number(value)))
        }
      />
    );
  }
  if (max_slices === null && downsample_modes === null) {
    return (
      <p class="fixed-budget">
        {tokens_per_image === 1 ? "One token" : tokensText(tokens_per_image)} for a square image;
        this system leaves no choice
      </p>
    );
  }
  return (
    <>
      {downsample_modes && (
        <Segments
          legend="Merging"
          name={`${name}-merging`}
          value={budget.downsampleMode ?? ""}
          choices={[
            { value: "", label: "Auto", hint: "As the model was set" },
            ...downsample_modes.map((mode) => ({
              value: mode,
              label: mode.replace("x", "×"),
              hint: `${mode.replace("x", "")} patches become one token`,
            })),
          ]}
          onChange={(value) => {
            const mode = downsample_modes.find((known) => known === value);
            onChange(withPart(budget, "downsampleMode", mode));
          }}
        />
      )}
      {max_slices !== null && (
        <label class="slices">
          <span>
            Slices: at most <output>{budget.maxSlices ?? max_slices}</output>
          </span>
          <input
            type="range"
            min="1"
            max={max_slices}
            value={budget.maxSlices ?? max_slices}
            onInput={({ currentTarget }) => {
              const slices = Number(currentTarget.value);
              onChange(withPart(budget, "maxSlices", slices === max_slices ? undefined : slices));
            }}
          />
        </label>
      )}
    </>
  );
};
