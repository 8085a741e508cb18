/** What the pictures are made of; goes with every folder that is written. The same text as ATTRIBUTION.md. */
export const attribution = `# Attribution

Images of Scenes are composed of other people's work, from npm packages that are installed beside this one. Nothing of
it lies in this repository.

- 3-D emoji renders of the objects, from \`@lobehub/fluent-emoji-3d\`: Fluent Emoji, Copyright (c) Microsoft Corporation;
  packaged by LobeHub, Copyright (c) 2023 LobeHub. MIT License.
- Font Roboto, from \`@fontsource/roboto\`: Copyright 2011 The Roboto Project Authors
  (https://github.com/googlefonts/roboto-classic). SIL Open Font License 1.1.
- Font Roboto Mono, from \`@fontsource/roboto-mono\`: Copyright 2015 The Roboto Mono Project Authors
  (https://github.com/googlefonts/robotomono). SIL Open Font License 1.1.

Backgrounds, tiles, flat shapes, signs, receipts, tables and charts are drawn by Saccade itself (Apache-2.0), with
\`@napi-rs/canvas\` (MIT).

## MIT License (the renders)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`;
