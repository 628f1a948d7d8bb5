/** Whether an answer is structured: a list or an object in JSON. No DOM. */

/** Whether a text is a list or an object in JSON, and nothing else. @param {string} text */
export function isStructure(text) {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Whether a text begins like a list or an object in JSON; null while that cannot be said. @param {string} text */
export function beginsAsStructure(text) {
  const [, first, second] = /^\s*(\S)\s*(\S)?/.exec(text) ?? [];
  if (!first) return null;
  if (first !== '{' && first !== '[') return false;
  if (!second) return null;
  return (first === '{' ? '"}' : '[{"').includes(second);
}
