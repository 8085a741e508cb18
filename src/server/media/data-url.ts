import { invalidRequest } from "../api/api-error.js";

/** Base64 as bytes; `param` names the field in the error. */
export const parseBase64 = (text: string, param: string): Uint8Array => {
  const compact = text.replaceAll(/\s+/g, "");
  if (compact === "" || compact.length % 4 === 1 || !/^[A-Za-z0-9+/]+={0,2}$/.test(compact)) {
    throw invalidRequest("The data must be base64.", "invalid_base64", param);
  }
  return Buffer.from(compact, "base64");
};

/** The bytes of a `data:` URL in base64. What they are is found out by reading them, not by its type. */
export const parseDataUrl = (url: string, param: string): Uint8Array => {
  const comma = url.indexOf(",");
  const header = url.slice(0, comma);
  if (comma < 0 || !/^data:[\w.+/-]*(;[\w.+-]+=[\w.+-]+)*;base64$/i.test(header)) {
    throw invalidRequest(
      "A data URL must be like data:image/png;base64,…",
      "invalid_data_url",
      param,
    );
  }
  return parseBase64(url.slice(comma + 1), param);
};
