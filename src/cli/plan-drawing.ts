/** Draws what every system makes of an image as an SVG: its views as the encoder sees them, with their tokens. */
import type { Rect, Rgb, Size } from "../image/image.js";
import { placeView } from "../image/view-placement.js";
import type { ImagePlan, ViewPlan } from "../image/view-plan.js";
import {
  isRefused,
  type PlannedView,
  type PublishedPlan,
  type RefusedPlan,
} from "../load/published-plans.js";

export type DrawingOptions = {
  /** What stands over the drawing, such as the name of a file. */
  readonly title: string;
  /** The image as a data address; a test card is drawn where there is none. */
  readonly picture?: string;
};

const columns = 3;
const panel = { width: 470, height: 330 };
const gap = 16;
const heading = 54;
/** Space between the thumbnail and the slices, and between slices, in pixels of the drawing. */
const apart = { groups: 18, slices: 4 };
const colours = {
  ink: "#1d2433",
  faint: "#5d6780",
  paper: "#ffffff",
  card: "#f3f5f9",
  accent: "#d6336c",
};

const escapeXml = (text: string): string =>
  text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const number = (value: number): string => String(Math.round(value * 100) / 100);
const box = ({ left, top, width, height }: Rect): string =>
  `x="${number(left)}" y="${number(top)}" width="${number(width)}" height="${number(height)}"`;
const css = (rgb: Rgb): string => `rgb(${rgb.join(",")})`;
const write = (
  x: number,
  y: number,
  text: string,
  { px = 13, colour = colours.ink, weight = "normal", anchor = "start" } = {},
): string =>
  `<text x="${number(x)}" y="${number(y)}" font-size="${number(px)}" fill="${colour}" ` +
  `font-weight="${weight}" text-anchor="${anchor}">${escapeXml(text)}</text>`;

/** A picture of the image's size whose circle and diagonals show what is stretched and what is cut. */
const testCard = ({ width, height }: Size): string => {
  const radius = Math.min(width, height) / 2;
  const stroke = `fill="none" stroke="#3b5bdb" stroke-width="${number(radius / 30)}"`;
  return [
    `<linearGradient id="sky" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="#a5d8ff"/>`,
    `<stop offset="1" stop-color="#ffec99"/></linearGradient>`,
    `<g id="picture"><rect width="${width}" height="${height}" fill="url(#sky)"/>`,
    `<path d="M0 0L${width} ${height}M${width} 0L0 ${height}" ${stroke}/>`,
    `<circle cx="${width / 2}" cy="${height / 2}" r="${number(radius * 0.96)}" ${stroke}/></g>`,
  ].join("");
};

const pictureOf = (size: Size, picture: string | undefined): string =>
  picture === undefined
    ? testCard(size)
    : `<image id="picture" width="${size.width}" height="${size.height}" preserveAspectRatio="none" href="${picture}"/>`;

/** Lines between tokens over the part of a view that is kept, and a veil over what is not. */
const drawLattice = (at: Rect, lattice: PlannedView["lattice"]): string => {
  if (lattice === undefined) return "";
  const { grid, kept } = lattice;
  const [stepX, stepY] = [at.width / grid.columns, at.height / grid.rows];
  const area = {
    left: at.left + kept.column * stepX,
    top: at.top + kept.row * stepY,
    width: kept.columns * stepX,
    height: kept.rows * stepY,
  };
  const [right, bottom] = [area.left + area.width, area.top + area.height];
  let lines = "";
  for (let column = 1; column < kept.columns; column += 1)
    lines += `M${number(area.left + column * stepX)} ${number(area.top)}V${number(bottom)}`;
  for (let row = 1; row < kept.rows; row += 1)
    lines += `M${number(area.left)} ${number(area.top + row * stepY)}H${number(right)}`;
  const outer = `M${number(at.left)} ${number(at.top)}h${number(at.width)}v${number(at.height)}h${number(-at.width)}z`;
  const inner = `M${number(area.left)} ${number(area.top)}h${number(area.width)}v${number(area.height)}h${number(-area.width)}z`;
  const isWhole = kept.rows === grid.rows && kept.columns === grid.columns;
  const veil = isWhole
    ? ""
    : `<path d="${outer}${inner}" fill="#fff" fill-opacity="0.65" fill-rule="evenodd"/>`;
  const strength = Math.min(0.8, Math.max(0.25, Math.min(stepX, stepY) / 16));
  return `${veil}<path d="${lines}" stroke="#fff" stroke-width="0.8" stroke-opacity="${number(strength)}" fill="none"/>`;
};

const drawCount = (at: Rect, text: string): string => {
  const px = Math.max(8, Math.min(15, at.width / 4, at.height / 3));
  const width = text.length * px * 0.62 + px * 0.8;
  const [x, y] = [at.left + at.width / 2, at.top + at.height / 2];
  const plate = { left: x - width / 2, top: y - px * 0.75, width, height: px * 1.5 };
  return (
    `<rect ${box(plate)} rx="${number(px / 3)}" fill="${colours.ink}" fill-opacity="0.82"/>` +
    write(x, y + px * 0.36, text, { px, colour: "#fff", weight: "bold", anchor: "middle" })
  );
};

const drawView = (plan: ImagePlan, view: ViewPlan, planned: PlannedView, at: Rect): string => {
  const placed = placeView(plan, view);
  const scale = at.width / view.output.width;
  const ground = css(view.pad?.colour ?? plan.canvas?.colour ?? [0, 0, 0]);
  const parts = [`<rect ${box(at)} fill="${ground}"/>`];
  if (placed) {
    const { from, to } = placed;
    const shown = {
      left: at.left + to.left * scale,
      top: at.top + to.top * scale,
      width: to.width * scale,
      height: to.height * scale,
    };
    const crop = [from.left, from.top, from.width, from.height].map(number).join(" ");
    parts.push(
      `<svg ${box(shown)} viewBox="${crop}" preserveAspectRatio="none" overflow="hidden"><use href="#picture"/></svg>`,
    );
  }
  parts.push(
    drawLattice(at, planned.lattice),
    `<rect ${box(at)} fill="none" stroke="${view.role === "part" ? colours.accent : colours.ink}" stroke-width="1.4"/>`,
  );
  if (planned.tokens > 0) parts.push(drawCount(at, String(planned.tokens)));
  return parts.join("");
};

/** Where each view goes: whole views on the left, parts in their grid on the right. */
const placeViews = ({ plan }: PublishedPlan, space: Rect): Rect[] => {
  const sizeOf = (role: ViewPlan["role"]) => plan.views.find((view) => view.role === role)?.output;
  const [whole, part] = [sizeOf("whole"), sizeOf("part")];
  const { columns: across, rows: down } = plan.grid;
  const gaps = part ? (across - 1) * apart.slices + (whole ? apart.groups : 0) : 0;
  const width = (whole?.width ?? 0) + (part?.width ?? 0) * across;
  const heightGaps = part ? (down - 1) * apart.slices : 0;
  const scale = Math.min(
    (space.width - gaps) / width,
    space.height / (whole?.height ?? 1),
    part ? (space.height - heightGaps) / (part.height * down) : Number.POSITIVE_INFINITY,
  );
  const first = space.left + (whole ? whole.width * scale + apart.groups : 0);
  let partIndex = 0;
  return plan.views.map(({ role, output }) => {
    const size = { width: output.width * scale, height: output.height * scale };
    if (role === "whole") return { left: space.left, top: space.top, ...size };
    const column = partIndex % across;
    const row = Math.floor(partIndex / across);
    partIndex += 1;
    return {
      left: first + column * (size.width + apart.slices),
      top: space.top + row * (size.height + apart.slices),
      ...size,
    };
  });
};

/** The views of a plan in words: `whole 448x448 + 3x2 of 336x560`. */
export const describeViews = ({ plan }: Pick<PublishedPlan, "plan">): string => {
  const sizeOf = ({ output }: ViewPlan): string => `${output.width}x${output.height}`;
  const whole = plan.views.find(({ role }) => role === "whole");
  const part = plan.views.find(({ role }) => role === "part");
  return [
    ...(whole ? [`whole ${sizeOf(whole)}`] : []),
    ...(part ? [`${plan.grid.columns}x${plan.grid.rows} of ${sizeOf(part)}`] : []),
  ].join(" + ");
};

/** Tokens in words, with those that belong to no view. */
export const describeTokens = ({ tokens, shared }: PublishedPlan): string => {
  const count = `${tokens} ${tokens === 1 ? "token" : "tokens"}`;
  if (shared.tokens === 0) return count;
  return shared.kind === "fused"
    ? `${count}, fused from all views`
    : `${count}, ${shared.tokens} of them newlines`;
};

const drawPanel = (planned: PublishedPlan | RefusedPlan, left: number, top: number): string => {
  const frame = { left, top, ...panel };
  const parts = [
    `<rect ${box(frame)} rx="8" fill="${colours.card}"/>`,
    write(left + 12, top + 24, planned.title, { px: 16, weight: "bold" }),
  ];
  if (isRefused(planned)) {
    parts.push(
      write(left + 12, top + 44, "cannot take an image of this size", { colour: colours.accent }),
    );
    return parts.join("");
  }
  const space = {
    left: left + 12,
    top: top + 66,
    width: panel.width - 24,
    height: panel.height - 78,
  };
  const places = placeViews(planned, space);
  parts.push(
    write(left + panel.width - 12, top + 24, describeTokens(planned), {
      px: 14,
      colour: colours.accent,
      weight: "bold",
      anchor: "end",
    }),
    write(left + 12, top + 46, describeViews(planned), { colour: colours.faint }),
    ...planned.plan.views.map((view, index) =>
      drawView(planned.plan, view, planned.views[index], places[index]),
    ),
  );
  return parts.join("\n");
};

/**
 * An SVG of all plans of one image. Views are drawn as the encoder sees them, stretched, cut and padded; white lines
 * are the borders between tokens, numbers the tokens of each view, veiled parts those whose tokens are left out.
 */
export const drawPlans = (
  image: Size,
  plans: readonly (PublishedPlan | RefusedPlan)[],
  { title, picture }: DrawingOptions,
): string => {
  const rows = Math.ceil(plans.length / columns);
  const width = columns * panel.width + (columns + 1) * gap;
  const height = heading + rows * (panel.height + gap) + gap;
  const panels = plans.map((planned, index) =>
    drawPanel(
      planned,
      gap + (index % columns) * (panel.width + gap),
      heading + gap + Math.floor(index / columns) * (panel.height + gap),
    ),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="Roboto, 'DejaVu Sans', Arial, sans-serif">`,
    `<defs>${pictureOf(image, picture)}</defs>`,
    `<rect width="${width}" height="${height}" fill="${colours.paper}"/>`,
    write(gap, 40, title, { px: 22, weight: "bold" }),
    ...panels,
    "</svg>\n",
  ].join("\n");
};
