/** What runs in the page: draws the heat map that is chosen. It stands alone, for its text is put there. */
import type { Explanation } from "../../analyze/explanation.js";

export const runPage = (formatShare: (share: number) => string): void => {
  const json = document.getElementById("explanation")?.textContent ?? "{}";
  const { heatMaps } = JSON.parse(json) as Pick<Explanation, "heatMaps">;

  /** 0 to 1; logarithmic over three powers of ten. */
  const strengthOf = (value: number, most: number, isLogarithmic: boolean): number => {
    if (most <= 0 || value <= 0) return 0;
    const part = value / most;
    return isLogarithmic ? Math.max(0, 1 + Math.log10(part) / 3) : part;
  };

  const describe = (
    { origins, shares }: NonNullable<(typeof heatMaps)["fusion"]>,
    values: readonly number[],
    [level, looker]: readonly [number, number],
  ): string => {
    const whole = shares[level][looker];
    const even = `, ${formatShare(whole / origins.length)} to each of ${origins.length} if it were even`;
    const share = `${formatShare(whole)} of its attention goes here${origins.length > 1 ? even : ""}`;
    const top = values.indexOf(Math.max(...values));
    const { view = 0, cell } = origins[top] ?? {};
    if (cell === undefined) return `${share}.`;
    const where = `row ${cell.row + 1}, column ${cell.column + 1} of view ${view + 1}`;
    return `${share}; most, ${formatShare(values[top])}, to ${where}.`;
  };

  for (const form of document.querySelectorAll<HTMLFormElement>("form[data-maps]")) {
    const maps = heatMaps[form.dataset.maps as keyof typeof heatMaps];
    const output = form.querySelector("output");
    if (maps === undefined || output === null) continue;
    const cells = [...form.querySelectorAll<SVGRectElement>("rect[data-place]")];
    const draw = (): void => {
      const chosen = new FormData(form);
      const [level, looker] = [Number(chosen.get("level")), Number(chosen.get("looker"))];
      const values = maps.values[level][looker];
      const most = Math.max(...values);
      for (const cell of cells) {
        const strength = strengthOf(
          values[Number(cell.dataset.place)],
          most,
          chosen.has("logarithmic"),
        );
        cell.style.fill = `hsl(${Math.round(55 - 55 * strength)} 95% 50%)`;
        cell.style.fillOpacity = (0.85 * strength).toFixed(3);
      }
      output.textContent = describe(maps, values, [level, looker]);
    };
    // Where there are many tokens, the chosen one may lie below the edge of its box.
    const chips = form.querySelector(".chips");
    const first = form.querySelector<HTMLElement>("label:has(:checked)");
    if (chips !== null && first !== null) chips.scrollTop = first.offsetTop - 40;
    form.addEventListener("input", draw);
    form.addEventListener("submit", (event) => event.preventDefault());
    draw();
  }
};
