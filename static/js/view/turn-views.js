/** What shows turns: the strip with the prompt, and the answers. It comes after the page, as one file. */

import { AnswerTurn } from './answer-turn.js';
import { MarkdownWriter } from './markdown-writer.js';
import { TurnStrip } from './turn-strip.js';

export const turnViews = { AnswerTurn, MarkdownWriter, TurnStrip };
