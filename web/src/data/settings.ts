/** What a person has set, kept in this browser. The API key is forgotten with the tab. */
import type { Lane } from "./conversation.js";

export type Theme = "system" | "light" | "dark";

export type Settings = {
  readonly theme: Theme;
  readonly lanes: readonly Lane[];
  /** Text that goes before every conversation. */
  readonly systemText: string;
  /** 0 takes the most likely token. */
  readonly temperature: number;
  readonly maxTokens: number;
};

const defaults: Settings = {
  theme: "system",
  lanes: [],
  systemText: "",
  temperature: 0,
  maxTokens: 256,
};

const settingsKey = "saccade-settings";
const apiKeyKey = "saccade-api-key";

export const loadSettings = (): Settings => {
  try {
    const text = localStorage.getItem(settingsKey);
    return { ...defaults, ...(JSON.parse(text ?? "{}") as Partial<Settings>) };
  } catch {
    return defaults;
  }
};

export const saveSettings = (settings: Settings): void =>
  localStorage.setItem(settingsKey, JSON.stringify(settings));

export const loadApiKey = (): string => sessionStorage.getItem(apiKeyKey) ?? "";

export const saveApiKey = (key: string): void => sessionStorage.setItem(apiKeyKey, key);

/** Light or dark, or as the system says. */
export const applyTheme = (theme: Theme): void => {
  document.documentElement.dataset.theme = theme;
};
