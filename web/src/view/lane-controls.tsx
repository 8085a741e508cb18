/** Who answers: the model, where it runs, and how closely it looks. */
import type { Lane, Place } from "../data/conversation.js";
import type { ModelCard } from "../data/server.js";
import { BudgetControl, budgetText } from "./budget-control.js";
import { formatBytes } from "./format.js";

const systemNames: Readonly<Record<string, string>> = {
  "llava-mini": "LLaVA-Mini",
  "llava-uhd": "LLaVA-UHD v4",
  "avg-llava": "AVG-LLaVA",
  "llava-next": "LLaVA-NeXT",
  llava: "LLaVA-1.5",
};

export const placeNames: Readonly<Record<Place, string>> = {
  server: "on the server",
  wasm: "in this browser, WebAssembly",
  webgpu: "in this browser, WebGPU",
};

export const systemName = (system: string): string => systemNames[system] ?? system;

const hasWebGpu = "gpu" in navigator;

/** Places where a model can answer. */
export const placesOf = ({ browser }: ModelCard): Place[] =>
  browser === null ? ["server"] : ["server", "wasm", ...(hasWebGpu ? ["webgpu" as const] : [])];

export const LaneControls = ({
  lane,
  index,
  count,
  models,
  isWide,
  onChange,
}: {
  readonly lane: Lane;
  readonly index: number;
  readonly count: number;
  readonly models: readonly ModelCard[];
  /** Whether there is room to show it all; else it is opened from one line. */
  readonly isWide: boolean;
  readonly onChange: (lane: Lane) => void;
}) => {
  const model = models.find(({ id }) => id === lane.model) ?? models[0];
  const name = `lane-${index}`;
  const side = count === 1 ? "" : index === 0 ? "Left: " : "Right: ";
  return (
    <details class="lane" open={isWide}>
      <summary>
        {side}
        {model.id}, {budgetText(model, lane.budget)}
      </summary>
      <fieldset class="lane-controls" aria-label={`${side}who answers`}>
        <div class="field">
          <label for={`${name}-model`}>{side}Model</label>
          <select
            id={`${name}-model`}
            value={model.id}
            onChange={({ currentTarget }) =>
              onChange({ model: currentTarget.value, place: "server", budget: {} })
            }
          >
            {models.map(({ id, architecture }) => (
              <option key={id} value={id}>
                {id} ({systemName(architecture.system)})
              </option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for={`${name}-place`}>{side}Answers</label>
          <select
            id={`${name}-place`}
            value={lane.place}
            disabled={placesOf(model).length === 1}
            onChange={({ currentTarget }) =>
              onChange({ ...lane, place: currentTarget.value as Place })
            }
          >
            {placesOf(model).map((place) => (
              <option key={place} value={place}>
                {placeNames[place]}
                {place !== "server" && model.browser ? `, ${formatBytes(model.browser.bytes)}` : ""}
              </option>
            ))}
          </select>
        </div>
        <BudgetControl
          model={model}
          budget={lane.budget}
          name={name}
          onChange={(budget) => onChange({ ...lane, budget })}
        />
      </fieldset>
    </details>
  );
};
