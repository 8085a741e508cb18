import { useEffect, useState } from "preact/hooks";
import type { Answerers } from "../answer/answerers.js";
import type { Lane } from "../data/conversation.js";
import { formatBytes } from "./format.js";

/** How far a model is that answers in this browser; it is fetched as soon as it is chosen. */
export const LoadingLine = ({
  lane,
  answerers,
  onReady,
}: {
  readonly lane: Lane;
  readonly answerers: Answerers;
  readonly onReady: () => void;
}) => {
  const own = answerers.inBrowser(lane);
  const [, redraw] = useState({});
  useEffect(() => {
    const end = own?.subscribe(() => {
      redraw({});
      if (own.state.type === "ready") onReady();
    });
    own?.load();
    return end;
  }, [own, onReady]);
  if (own === undefined || own.state.type === "idle") return null;
  const { state, source } = own;
  if (state.type === "failed") {
    return (
      <p class="loading error" role="alert">
        {state.reason}
      </p>
    );
  }
  if (state.type === "ready") {
    return <p class="loading">Loaded: this model answers without the server.</p>;
  }
  const { receivedBytes } = state;
  return (
    <div class="loading">
      <progress max={source.bytes} value={receivedBytes} aria-label="Fetching the model" />
      <span>
        Fetching the model: {formatBytes(receivedBytes)} of {formatBytes(source.bytes)}
      </span>
    </div>
  );
};
