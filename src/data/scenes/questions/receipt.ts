/** Receipts: the total, a price, whose price it is, how many items. */
import { totalOf } from "../layout-paper.js";
import type { DetailScene, Receipt } from "../scene.js";
import { formatCents } from "../words.js";
import { createFamily } from "./question.js";

const receiptOf = ({ content }: DetailScene): Receipt | undefined =>
  content.type === "receipt" ? content : undefined;

export const receiptTotal = createFamily("receipt-total", "fine", "detail", (scene) => {
  const receipt = receiptOf(scene);
  if (receipt === undefined) return undefined;
  const answer = formatCents(totalOf(receipt));
  return { question: "What is the total?", answer, evidence: [answer] };
});

export const receiptPrice = createFamily("receipt-price", "fine", "detail", (scene, random) => {
  const receipt = receiptOf(scene);
  if (receipt === undefined) return undefined;
  const { name, cents } = random.pick(receipt.items);
  const answer = formatCents(cents);
  return { question: `How much is the ${name}?`, answer, evidence: [name, answer] };
});

export const receiptItem = createFamily("receipt-item", "fine", "detail", (scene, random) => {
  const receipt = receiptOf(scene);
  if (receipt === undefined) return undefined;
  const { name, cents } = random.pick(receipt.items);
  const price = formatCents(cents);
  return { question: `Which item costs ${price}?`, answer: name, evidence: [name, price] };
});

export const receiptCount = createFamily("receipt-count", "medium", "detail", (scene) => {
  const receipt = receiptOf(scene);
  return (
    receipt && {
      question: "How many items are on the receipt?",
      answer: String(receipt.items.length),
    }
  );
});
