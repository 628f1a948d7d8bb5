/**
 * Compare programs: `node same_program.js WRITTEN SENT ...`, pairs of files.
 *
 * Prints as JSON the first difference between their syntax trees, nothing for an equal pair.
 */

import { readFileSync } from 'node:fs';
import ts from 'typescript';

/** The kind of every node and the text of every leaf, without comments and spaces. */
function tree(path) {
  const file = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ESNext, false, ts.ScriptKind.JS);
  const nodes = file.parseDiagnostics.map(({ messageText }) => `error: ${messageText}`);
  const visit = (node, depth) => {
    let text = '';
    if (ts.isIdentifier(node) || ts.isPrivateIdentifier(node) || ts.isLiteralExpression(node) || ts.isTemplateLiteralToken(node)) text = node.text;
    nodes.push(`${depth} ${ts.SyntaxKind[node.kind]} ${node.flags & ts.NodeFlags.BlockScoped} ${text}`);
    ts.forEachChild(node, (child) => visit(child, depth + 1));
  };
  visit(file, 0);
  return nodes;
}

const [, , ...paths] = process.argv;
const differences = [];
for (let at = 0; at < paths.length; at += 2) {
  const [written, sent] = [tree(paths[at]), tree(paths[at + 1])];
  const longest = written.length > sent.length ? written : sent;
  const place = longest.findIndex((_, index) => written[index] !== sent[index]);
  if (place >= 0) differences.push({ path: paths[at], written: written[place], sent: sent[place] });
  if (written.some((node) => node.startsWith('error'))) differences.push({ path: paths[at], written: written[0] });
}
console.log(JSON.stringify(differences));
