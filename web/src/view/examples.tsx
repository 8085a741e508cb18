/** Pictures to begin with, of the kind that the embedded models have learned (Scenes, its test split). */
const examples = [
  { file: "shapes.png", question: "What colour is the cross?" },
  { file: "tiles.png", question: "What is on the red tile?" },
  { file: "colour.png", question: "What colour is the background?" },
  { file: "animals.png", question: "Which object is an animal?" },
] as const;

export type Example = { readonly file: File; readonly question: string };

const addressOf = (file: string): string => new URL(`examples/${file}`, document.baseURI).href;

const open = async ({ file, question }: (typeof examples)[number]): Promise<Example> => {
  const blob = await (await fetch(addressOf(file))).blob();
  return { file: new File([blob], file, { type: "image/png" }), question };
};

export const Examples = ({ onChoose }: { readonly onChoose: (example: Example) => void }) => (
  <ul class="examples" aria-label="Examples">
    {examples.map((example) => (
      <li key={example.file}>
        <button type="button" onClick={async () => onChoose(await open(example))}>
          <img src={addressOf(example.file)} alt="" />
          <span>{example.question}</span>
        </button>
      </li>
    ))}
  </ul>
);
