/** The views of an image as figures: on the image, and each as the vision tower sees it. */
import type { ExplainedView, Explanation } from "../../analyze/explanation.js";
import type { HeatMaps } from "../../analyze/heat-maps.js";
import { escapeHtml } from "./shown-values.js";

const digit = (value: number): string => String(Math.round(value * 100) / 100);

/** Short marks for a view, first on the image and again over the view. */
export const viewName = ({ role }: ExplainedView, index: number): string =>
  `view ${index + 1}${role === "whole" ? " (whole image)" : ""}`;

/** The picture itself, once; figures refer to it. */
export const pictureSource = ({ width, height }: Explanation["image"], picture: string): string =>
  `<svg class="picture-source" aria-hidden="true"><defs><image id="picture" width="${width}" height="${height}" preserveAspectRatio="none" href="${escapeHtml(picture)}"/></defs></svg>`;

/** The image with a frame around what each view shows. */
export const drawImage = ({ image: { width, height }, views }: Explanation): string => {
  const px = Math.max(width, height) / 20;
  const frames = views.map(({ placement }, index) => {
    if (placement === undefined) return "";
    const { left, top, width: wide, height: high } = placement.from;
    const at = `x="${digit(left)}" y="${digit(top)}" width="${digit(wide)}" height="${digit(high)}"`;
    // Whole and parts may share a corner: their marks stand side by side.
    const x = left + px * (0.3 + (views[index].role === "whole" ? 0 : 1));
    return `<rect class="box under" ${at}/><rect class="box" ${at}/><text class="tag" style="font-size:${digit(px)}px;stroke-width:${digit(px / 5)}px" x="${digit(x)}" y="${digit(top + px * 1.1)}">${index + 1}</text>`;
  });
  const label = `The image, ${width} by ${height} pixels, with a frame around what each of ${views.length} views shows`;
  return `<svg class="image" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}"><use href="#picture"/>${frames.join("")}</svg>`;
};

/** One view as it is seen, with a cell to colour for each place that can be looked at. */
const drawView = (view: ExplainedView, index: number, { origins }: HeatMaps): string => {
  const { size, placement, border } = view;
  const parts = [
    `<rect width="${size.width}" height="${size.height}" fill="rgb(${border.join(" ")})"/>`,
  ];
  if (placement !== undefined) {
    const { from, to } = placement;
    const crop = [from.left, from.top, from.width, from.height].map(digit).join(" ");
    parts.push(
      `<svg x="${digit(to.left)}" y="${digit(to.top)}" width="${digit(to.width)}" height="${digit(to.height)}" viewBox="${crop}" preserveAspectRatio="none" overflow="hidden"><use href="#picture"/></svg>`,
    );
  }
  const cells = origins.flatMap(({ view: own, cell }, place) => {
    if (own !== index || cell === undefined) return [];
    const [wide, high] = [size.width / cell.grid.columns, size.height / cell.grid.rows];
    return `<rect data-place="${place}" x="${digit(cell.column * wide)}" y="${digit(cell.row * high)}" width="${digit(wide)}" height="${digit(high)}" fill-opacity="0"/>`;
  });
  const label = `${viewName(view, index)} in grey, coloured where attention goes; the line below says where most of it goes`;
  return `<figure><svg viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${label}"><g class="grey">${parts.join("")}</g><g stroke-width="${digit(size.width / 500)}">${cells.join("")}</g></svg><figcaption>${viewName(view, index)}</figcaption></figure>`;
};

/** White space made visible: a token may be nothing else. */
const visibleText = (text: string): string =>
  text === ""
    ? "·"
    : text
        .replaceAll("\n", "⏎")
        .replaceAll("\t", "⇥")
        .replace(/^ +$/, (all) => "␣".repeat(all.length));

/** A form that chooses a map, over the views that it colours. */
export const heatMapForm = (
  name: keyof Explanation["heatMaps"],
  maps: HeatMaps,
  { views, grid }: Explanation,
  [lookerLegend, chosen]: readonly [string, number],
): string => {
  const lookers = maps.lookers.map(
    (text, index) =>
      `<label><input type="radio" name="looker" value="${index}"${index === chosen ? " checked" : ""}><span>${escapeHtml(visibleText(text))}</span></label>`,
  );
  const levels = maps.levels.map(
    (text, index) => `<option value="${index}">${escapeHtml(text)}</option>`,
  );
  const isDrawn = maps.origins.some(({ cell }) => cell !== undefined);
  const drawn = views
    .map((view, index) => ({ view, index }))
    .filter(({ index }) => maps.origins.some(({ view, cell }) => view === index && cell));
  const figuresOf = (role: ExplainedView["role"]): string[] =>
    drawn
      .filter(({ view }) => view.role === role)
      .map(({ view, index }) => drawView(view, index, maps));
  const [wholes, parts] = [figuresOf("whole"), figuresOf("part")];
  // Parts lie as they do in the image.
  const figures = [
    ...wholes.map((figure) => `<div class="views whole">${figure}</div>`),
    ...(parts.length === 0
      ? []
      : [
          `<div class="views" style="grid-template-columns:repeat(${grid.columns},minmax(0,1fr))">${parts.join("")}</div>`,
        ]),
  ].join("");
  const colours = `<label><input type="checkbox" name="logarithmic"> logarithmic colours</label><span class="faint">none <span class="ramp"></span> most of this map</span>`;
  return `<form data-maps="${name}"><fieldset><legend>${lookerLegend}</legend><div class="chips">${lookers.join("")}</div></fieldset>
<div class="controls"><label>by <select name="level">${levels.join("")}</select></label>${isDrawn ? colours : ""}</div>
${figures}<output></output></form>`;
};
