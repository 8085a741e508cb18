import { useState } from "preact/hooks";
import { saveApiKey } from "../data/settings.js";

/** Asks for the key that the server wants; it is forgotten with the tab. */
export const KeyForm = ({
  isWrong,
  onKey,
}: {
  readonly isWrong: boolean;
  readonly onKey: () => void;
}) => {
  const [key, setKey] = useState("");
  return (
    <form
      class="key-form"
      onSubmit={(event) => {
        event.preventDefault();
        saveApiKey(key);
        onKey();
      }}
    >
      <h2>This server asks for a key</h2>
      <label class="field">
        <span>API key</span>
        <input
          type="password"
          autoComplete="off"
          value={key}
          onInput={({ currentTarget }) => setKey(currentTarget.value)}
        />
      </label>
      {isWrong && (
        <p class="error" role="alert">
          The server does not know that key.
        </p>
      )}
      <button type="submit" class="primary" disabled={key === ""}>
        Continue
      </button>
    </form>
  );
};
