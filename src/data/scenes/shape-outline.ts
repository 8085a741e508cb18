/** Outlines of the six flat shapes, around 0, with a longest side of 1. */
import type { Point } from "./mark.js";
import type { ShapeName } from "./object-classes.js";

const onCircle = (turn: number, radius: number): Point => [
  radius * Math.sin(2 * Math.PI * turn),
  -radius * Math.cos(2 * Math.PI * turn),
];

const circle = Array.from({ length: 64 }, (_, at) => onCircle(at / 64, 0.5));

const star = Array.from({ length: 10 }, (_, at) => onCircle(at / 10, at % 2 === 0 ? 0.52 : 0.21));

/** The usual parametric heart, x = 16 sin^3 t, scaled to a width of 1. */
const heart = Array.from({ length: 64 }, (_, at): Point => {
  const t = (2 * Math.PI * at) / 64;
  const x = 16 * Math.sin(t) ** 3;
  const y = 13 * Math.cos(t) - 5 * Math.cos(2 * t) - 2 * Math.cos(3 * t) - Math.cos(4 * t);
  return [x / 32, -(y + 2.5) / 32];
});

const outlines: Readonly<Record<ShapeName, readonly Point[]>> = {
  circle,
  square: [
    [-0.44, -0.44],
    [0.44, -0.44],
    [0.44, 0.44],
    [-0.44, 0.44],
  ],
  triangle: [
    [0, -0.47],
    [0.5, 0.41],
    [-0.5, 0.41],
  ],
  star,
  heart,
  cross: [
    [-0.16, -0.48],
    [0.16, -0.48],
    [0.16, -0.16],
    [0.48, -0.16],
    [0.48, 0.16],
    [0.16, 0.16],
    [0.16, 0.48],
    [-0.16, 0.48],
    [-0.16, 0.16],
    [-0.48, 0.16],
    [-0.48, -0.16],
    [-0.16, -0.16],
  ],
};

/** The outline of a shape around (`x`, `y`), `extent` long. */
export const outlineOf = (name: ShapeName, x: number, y: number, extent: number): Point[] =>
  outlines[name].map(([dx, dy]) => [x + dx * extent, y + dy * extent]);
