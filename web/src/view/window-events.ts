import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Conversation } from "../data/conversation.js";

/** Files dropped anywhere; returns whether something is being dragged over the page. */
export const useDroppedFiles = (onFiles: (files: File[]) => void): boolean => {
  const [isDragging, setDragging] = useState(false);
  const latest = useRef(onFiles);
  latest.current = onFiles;
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const onOver = (event: DragEvent) => {
      event.preventDefault();
      setDragging(true);
    };
    const onLeave = (event: DragEvent) => event.relatedTarget === null && setDragging(false);
    const onDrop = (event: DragEvent) => {
      event.preventDefault();
      setDragging(false);
      latest.current([...(event.dataTransfer?.files ?? [])]);
    };
    document.addEventListener("dragover", onOver, { signal });
    document.addEventListener("dragleave", onLeave, { signal });
    document.addEventListener("drop", onDrop, { signal });
    return () => controller.abort();
  }, []);
  return isDragging;
};

/** Escape, wherever the focus is; dialogues take it for themselves. */
export const useEscape = (onEscape: () => void): void => {
  const latest = useRef(onEscape);
  latest.current = onEscape;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape" && document.querySelector("dialog[open]") === null)
        latest.current();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
};

/** Whether a media query holds now. */
export const useMedia = (query: string): boolean => {
  const [holds, setHolds] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const onChange = () => setHolds(list.matches);
    list.addEventListener("change", onChange);
    return () => list.removeEventListener("change", onChange);
  }, [query]);
  return holds;
};

/** So near to the end, a reader is taken to be reading along. */
const nearPx = 120;

/** Keeps the end of a conversation in sight while it grows, unless its reader has scrolled away. */
export const useFollowedEnd = (
  ref: RefObject<HTMLElement | null>,
  { id, turns }: Conversation,
): void => {
  const isFollowing = useRef(true);
  useEffect(() => {
    const element = ref.current;
    const onScroll = () => {
      if (element === null) return;
      const { scrollHeight, scrollTop, clientHeight } = element;
      isFollowing.current = scrollHeight - scrollTop - clientHeight < nearPx;
    };
    element?.addEventListener("scroll", onScroll, { passive: true });
    return () => element?.removeEventListener("scroll", onScroll);
  }, [ref]);
  useEffect(() => {
    isFollowing.current = true;
  }, [id, turns.length]);
  useLayoutEffect(() => {
    if (isFollowing.current) ref.current?.scrollTo({ top: ref.current.scrollHeight });
  }, [ref, turns]);
};
