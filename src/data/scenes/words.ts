/** Words that are printed in detail scenes. Every one is a single token of the Scenes vocabulary. */

/** On signs and cards. */
export const placeWords = [
  "airport",
  "bakery",
  "bank",
  "beach",
  "bridge",
  "cafe",
  "church",
  "cinema",
  "exit",
  "garden",
  "harbour",
  "hospital",
  "hotel",
  "lake",
  "library",
  "market",
  "museum",
  "office",
  "park",
  "pharmacy",
  "pool",
  "school",
  "shop",
  "station",
  "theatre",
  "town",
  "village",
  "zoo",
] as const;

/** On cards beside the places. */
export const cardWords = [
  "alpha",
  "closed",
  "danger",
  "delta",
  "echo",
  "free",
  "hello",
  "lunch",
  "open",
  "quiet",
  "sale",
  "slow",
  "stop",
  "thanks",
  "today",
  "welcome",
] as const;

/** Rows of tables and bars of charts. */
export const people = [
  "Anna",
  "Ben",
  "Clara",
  "David",
  "Emma",
  "Felix",
  "Grace",
  "Henry",
  "Iris",
  "Jack",
] as const;

/** Columns of tables. */
export const weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"] as const;

/** Letters and digits of codes; none that looks like another one (0 O, 1 I, 5 S, 8 B, 2 Z). */
export const codeLetters = [..."ACDEFGHJKLMNPQRTUVWXY"];
export const codeDigits = [..."34679"];

/** "12.50" from 1250 cents. */
export const formatCents = (cents: number): string =>
  `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, "0")}`;
