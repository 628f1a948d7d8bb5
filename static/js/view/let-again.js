/** Let a button be pressed again, and give it the focus that it lost when it could not be. @param {HTMLButtonElement} button */
export function letAgain(button) {
  button.disabled = false;
  if (document.activeElement === document.body) button.focus();
}
