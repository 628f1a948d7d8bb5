/** One attachment as the chat and the composer show it: a picture that can be looked at, a file with its size. */

import { h, iconButton, letClose } from './element.js';
import { icon } from './icons.js';

/** @import { Attachment } from '../client/protocol.js' */

/** Where an attachment is. @param {Attachment} attachment */
function urlOf({ id }) {
  return new URL(`attachments/${id}`, document.baseURI).href;
}

/** A thumbnail; a click shows the whole picture. @param {Attachment} attachment */
export function thumbnail(attachment) {
  const { name } = attachment;
  const picture = h('img', { src: urlOf(attachment), alt: name, decoding: 'async', draggable: 'false' });
  const button = h('button', { type: 'button', class: 'thumbnail', title: name, 'aria-haspopup': 'dialog' }, picture);
  button.addEventListener('click', () => openPicture(attachment));
  picture.addEventListener('error', () => button.replaceChildren(icon('common'), h('span', { class: 'unseen' }, `${name} is not there any more`)));
  return button;
}

/** A file's name and size, to be downloaded. @param {Attachment} attachment */
export function fileLink(attachment) {
  const { bytes, name } = attachment;
  return h('a', { class: 'file', href: urlOf(attachment), download: name }, icon('common'),
    h('span', { class: 'file-name', dir: 'auto' }, name), h('span', { class: 'file-size' }, sizeLabel(bytes)));
}

/** A size in bytes: "12 kB". @param {number} bytes */
export function sizeLabel(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 999_500 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {Attachment} attachment */
function openPicture(attachment) {
  const { bytes, height, name, width } = attachment;
  const close = iconButton('close', 'Close');
  const facts = [width && `${width} × ${height}`, bytes && sizeLabel(bytes)].filter(Boolean).join(' · ');
  const dialog = h('dialog', { class: 'sheet picture-sheet', 'aria-label': name },
    h('header', {}, h('h2', { dir: 'auto' }, name), h('span', { class: 'field-hint' }, facts), close),
    h('img', { src: urlOf(attachment), alt: name, width: width ?? null, height: height ?? null }));
  const shown = new AbortController();
  letClose(dialog, close, shown.signal);
  dialog.addEventListener('close', () => {
    shown.abort();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}
