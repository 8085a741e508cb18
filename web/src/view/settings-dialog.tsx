import type { Settings, Theme } from "../data/settings.js";
import { Modal } from "./modal.js";

const themes: readonly (readonly [Theme, string])[] = [
  ["system", "As the system"],
  ["light", "Light"],
  ["dark", "Dark"],
];

export const SettingsDialog = ({
  settings,
  maxAnswerTokens,
  onChange,
  onClose,
}: {
  readonly settings: Settings;
  readonly maxAnswerTokens: number;
  readonly onChange: (settings: Settings) => void;
  readonly onClose: () => void;
}) => (
  <Modal title="Settings" onClose={onClose}>
    <fieldset class="segments">
      <legend>Appearance</legend>
      <div>
        {themes.map(([theme, name]) => (
          <label key={theme}>
            <input
              type="radio"
              name="theme"
              checked={settings.theme === theme}
              onChange={() => onChange({ ...settings, theme })}
            />
            <span>{name}</span>
          </label>
        ))}
      </div>
    </fieldset>
    <label class="field">
      <span>Text before every conversation</span>
      <textarea
        rows={3}
        value={settings.systemText}
        onInput={({ currentTarget }) => onChange({ ...settings, systemText: currentTarget.value })}
      />
    </label>
    <label class="field">
      <span>Temperature (0: always the most likely token)</span>
      <input
        type="number"
        min="0"
        max="2"
        step="0.1"
        value={settings.temperature}
        onInput={({ currentTarget: { valueAsNumber } }) =>
          valueAsNumber >= 0 && onChange({ ...settings, temperature: valueAsNumber })
        }
      />
    </label>
    <label class="field">
      <span>Longest answer, in tokens</span>
      <input
        type="number"
        min="1"
        max={maxAnswerTokens}
        value={settings.maxTokens}
        onInput={({ currentTarget: { valueAsNumber } }) =>
          Number.isInteger(valueAsNumber) &&
          valueAsNumber > 0 &&
          onChange({ ...settings, maxTokens: Math.min(valueAsNumber, maxAnswerTokens) })
        }
      />
    </label>
  </Modal>
);
