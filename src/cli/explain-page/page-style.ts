/** The page's looks: system fonts, light and dark, one column that fits a phone. */
export const pageStyle = `
:root { color-scheme: light dark; --ink: #1a2030; --faint: #566078; --paper: #fff; --card: #f3f5f9; --line: #d5dae4;
  --accent: #9c2a5b; --instruction: #0072b2; --vision: #d55e00; --response: #00825d; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf2; --faint: #a7b0c4; --paper: #12151d; --card: #1c212d; --line: #374054; --accent: #ff8fbd;
    --instruction: #56b4e9; --vision: #f0924a; --response: #35c79c; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .5rem; }
h3 { font-size: 1rem; margin: 1rem 0 .5rem; }
p { margin: .4rem 0 .8rem; }
.faint, figcaption, caption { color: var(--faint); font-size: .9rem; }
.answer { font-size: 1.25rem; font-weight: 600; white-space: pre-line; overflow-wrap: anywhere; border-left: 4px solid var(--accent); padding-left: .75rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin: 1rem 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: .75rem 0; }
.facts dt { color: var(--faint); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.1rem; font-weight: 600; font-variant-numeric: tabular-nums; }
figure { margin: 0; }
svg { display: block; width: 100%; height: auto; }
.image { max-width: 30rem; }
.views { display: grid; gap: .4rem; margin: .75rem 0; max-width: 40rem; }
.views.whole { max-width: 26rem; }
.views svg { border: 1px solid var(--line); background: #777; }
.grey { filter: grayscale(1) contrast(.75) brightness(.9); }
rect[data-place] { stroke: #fff; stroke-opacity: .3; }
.box { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; stroke: #ff2d86; }
.box.under { stroke: #fff; stroke-width: 4; }
.tag { font: 600 12px system-ui, sans-serif; fill: #fff; stroke: #000; stroke-width: 3px; paint-order: stroke; }
fieldset { border: 0; margin: 0 0 .75rem; padding: 0; min-width: 0; }
legend { font-weight: 600; font-size: .9rem; padding: 0; margin-bottom: .25rem; }
.chips { display: flex; flex-wrap: wrap; gap: .3rem; max-height: 13rem; overflow: auto; padding: 3px; position: relative; }
.chips label { position: relative; cursor: pointer; }
.chips input { position: absolute; inset: 0; opacity: 0; margin: 0; width: 100%; height: 100%; cursor: pointer; }
.chips span { display: block; min-width: 1.8rem; text-align: center; padding: .2rem .5rem; border: 1px solid var(--line);
  border-radius: .4rem; background: var(--paper); white-space: pre; }
.chips input:checked + span { background: var(--accent); border-color: var(--accent); color: var(--paper); }
.chips input:focus-visible + span, select:focus-visible, input:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
select { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line); border-radius: .4rem; padding: .3rem .5rem; max-width: 100%; }
.controls { display: flex; flex-wrap: wrap; gap: .75rem 1.5rem; align-items: center; margin-bottom: .75rem; }
.ramp { display: inline-block; width: 6rem; height: .8rem; border: 1px solid var(--line); vertical-align: -1px;
  background: linear-gradient(to right, hsl(55 95% 50% / 0), hsl(27 95% 50% / .43), hsl(0 95% 50% / .85)); }
output { display: block; font-weight: 600; margin-top: .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { text-align: right; padding: .3rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, th.text, td.text { text-align: left; }
td.text { white-space: normal; min-width: 6rem; overflow-wrap: anywhere; }
th[scope=row] { font-weight: 500; }
.bar { display: flex; height: 1.1rem; border-radius: .25rem; overflow: hidden; background: var(--line); min-width: 6rem; }
.bar i { display: block; height: 100%; }
.bar .instruction, .key.instruction { background: var(--instruction); }
.bar .vision, .key.vision { background: var(--vision); }
.bar .response, .key.response { background: var(--response); }
.bar .one { background: var(--accent); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; vertical-align: -1px; margin: 0 .3rem 0 .8rem; }
@media (max-width: 30rem) { th, td { padding: .3rem; } .bar { min-width: 3.5rem; } section { padding: .75rem; } }
details { margin-top: .75rem; }
summary { cursor: pointer; font-weight: 600; }
.picture-source { position: absolute; width: 0; height: 0; }
`;
