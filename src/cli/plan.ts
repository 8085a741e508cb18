/** `saccade plan IMAGE|WxH`: what every system makes of an image, before anything runs. */
import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Command } from "commander";
import sharp from "sharp";
import { decodeImage } from "../image/decode.node.js";
import type { RgbImage, Size } from "../image/image.js";
import { isRefused, type PublishedPlan, planPublished } from "../load/published-plans.js";
import type { CommandContext } from "./command-context.js";
import { UsageError } from "./exit.js";
import { option, parseCount } from "./options.js";
import { toDataAddress } from "./picture-address.js";
import { describeViews, drawPlans } from "./plan-drawing.js";
import { formatTable } from "./table.js";

type PlanFlags = {
  readonly maxSlices?: number;
  readonly global?: boolean;
  readonly out?: string;
  readonly svg?: string;
  readonly json?: boolean;
};

type Plans = ReturnType<typeof planPublished>;

const sizePattern = /^(\d+)x(\d+)$/i;

const openSubject = async (
  subject: string,
): Promise<{ size: Size; title: string; image?: RgbImage }> => {
  const [, width, height] = sizePattern.exec(subject.trim()) ?? [];
  if (width !== undefined) {
    const size = { width: Number(width), height: Number(height) };
    return { size, title: `${size.width}x${size.height}` };
  }
  const image = await decodeImage(subject);
  const size = { width: image.width, height: image.height };
  return { size, title: `${basename(subject)}: ${size.width}x${size.height}`, image };
};

const toJson = (size: Size, plans: Plans): string => {
  const systems = plans.map((planned) => {
    if (isRefused(planned)) return [planned.system, { error: planned.refusal.message }];
    const { plan, views, shared, tokens } = planned;
    return [
      planned.system,
      {
        tokens,
        views: plan.views.map(({ role, output: { width, height } }, index) => ({
          role,
          width,
          height,
          patches: views[index].patches,
          tokens: views[index].tokens,
        })),
        grid: plan.grid,
        ...(shared.tokens > 0 && { shared }),
      },
    ];
  });
  return JSON.stringify({ image: size, systems: Object.fromEntries(systems) });
};

const countPatches = ({ views }: PublishedPlan): number =>
  views.reduce((sum, { patches }) => sum + patches.rows * patches.columns, 0);

/** Tokens of the views in plan order, equal ones together: `63 + 6x70`, then those of no view. */
const sumText = ({ views, shared, tokens }: PublishedPlan): string => {
  const runs: { tokens: number; times: number }[] = [];
  for (const { tokens: count } of views) {
    const last = runs.at(-1);
    if (last?.tokens === count) last.times += 1;
    else runs.push({ tokens: count, times: 1 });
  }
  const terms = runs
    .filter((run) => run.tokens > 0)
    .map((run) => (run.times === 1 ? `${run.tokens}` : `${run.times}x${run.tokens}`));
  if (shared.tokens > 0) terms.push(`${shared.tokens} ${shared.kind}`);
  return terms.length === 1 && terms[0] === `${tokens}` ? "" : terms.join(" + ");
};

const toText = (title: string, plans: Plans, { terminal }: CommandContext): string => {
  const { colors } = terminal;
  const rows = plans.map((planned) =>
    isRefused(planned)
      ? [planned.title, "-", "", "", colors.red("cannot take this size")]
      : [
          planned.title,
          String(planned.tokens),
          String(countPatches(planned)),
          describeViews(planned),
          sumText(planned),
        ],
  );
  const header = ["system", "tokens", "patches", "views", "of which"];
  const refusals = plans
    .filter(isRefused)
    .map(({ title: name, refusal }) => `${name}: ${refusal.message}`);
  return [colors.bold(title), formatTable(header, rows, colors), ...refusals, ""].join("\n");
};

export const plan = async (
  subject: string,
  { maxSlices, global, out, svg, json }: PlanFlags,
  context: CommandContext,
): Promise<void> => {
  const { terminal } = context;
  if (out !== undefined && !/\.png$/i.test(out)) {
    throw new UsageError(`plan: --out writes a PNG, got ${out}; name it .png, or use --svg`);
  }
  const { size, title, image } = await openSubject(subject);
  const plans = planPublished(size, {
    ...(maxSlices !== undefined && { maxSlices }),
    ...(global && { encoding: "global" }),
  });
  if (out !== undefined || svg !== undefined) {
    const picture = image && (await toDataAddress(image));
    const drawing = drawPlans(size, plans, { title, picture });
    if (svg !== undefined) await writeFile(svg, drawing);
    if (out !== undefined) await writeFile(out, await sharp(Buffer.from(drawing)).png().toBuffer());
  }
  await terminal.write(json ? `${toJson(size, plans)}\n` : toText(title, plans, context));
};

/** Adds `plan` to the program. */
export const addPlanCommand = (program: Command, contextOf: () => CommandContext): void => {
  program
    .command("plan")
    .summary("views and tokens of an image in every system")
    .description(
      "Says what every published system makes of an image: its views, their sizes, and the tokens of the language model. No model is needed. Drawings show the views as the encoder sees them, with a line between tokens.",
    )
    .argument("<image>", "image file, or a size in pixels like 1920x1080")
    .addOption(
      option("--max-slices <n>", "LLaVA-UHD v4: most slices (default: 9)").argParser(parseCount),
    )
    .addOption(option("--global", "LLaVA-UHD v4: the whole image as one view, not in slices"))
    .addOption(option("--out <file>", "write a drawing (PNG)"))
    .addOption(option("--svg <file>", "write a drawing (SVG)"))
    .addOption(option("--json", "one JSON object on standard output"))
    .action((subject: string, flags: PlanFlags) => plan(subject, flags, contextOf()));
};
