/** @file What a model is made of: who it is, its dimensions, and its tensors by role or one by one. */
import type { ModelTensor, SourceModel } from '@bitsmith/core';
import { renderTable } from './table.js';
import { roleOrder } from './tensors.js';
import { fitLine, oneLine, Paint, type Terminal, truncateStart } from './terminal.js';
import { dimensions } from './dimensions.js';
import { bytes, count, exactBytes, integer, percent, plural } from './units.js';

export interface InspectOptions {
  /** One line for each tensor instead of one for each role. */
  readonly everyTensor: boolean;
}

export function renderInspection(model: SourceModel, options: InspectOptions, terminal: Terminal): string {
  const paint = new Paint(terminal);
  const bits = (model.byteLength * 8) / model.parameterCount;
  const mark = terminal.unicode ? '…' : '...';
  const head = [
    `${paint.bold(oneLine(model.name))}  ${paint.dim(`${model.architecture}, ${count(model.parameterCount)} weights, mostly ${model.dtype}`)}`,
    `  ${truncateStart(model.location, terminal.width - 2, mark)}`,
    `  ${exactBytes(model.byteLength)} as GGUF in ${plural(model.files.length, 'file')}, ${bits.toFixed(2)} bits per weight`,
  ];
  const facts = dimensions(model.metadata, model.architecture).map(({ label, value }) => [label, value]);
  const tensors = options.everyTensor ? tensorTable(model, terminal) : roleTable(model, terminal);
  const groups = [head, facts.map(([label, value]) => `  ${paint.dim(label.padEnd(12))}  ${value}`), tensors];
  const text = groups
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map((line) => fitLine(line, terminal)).join('\n'));
  return `${text.join('\n\n')}\n`;
}

function roleTable(model: SourceModel, terminal: Terminal): string[] {
  const rows = roleOrder.flatMap((role) => {
    const tensors = model.tensors.filter((tensor) => tensor.role === role);
    return tensors.length === 0 ? [] : [roleRow(role, tensors, model)];
  });
  const columns = [
    { title: 'role', align: 'left' },
    { title: 'tensors', align: 'right' },
    { title: 'types', align: 'left', flexible: true },
    { title: 'weights', align: 'right' },
    { title: 'size', align: 'right' },
    { title: 'of file', align: 'right' },
    { title: 'bits/weight', align: 'right' },
  ] as const;
  return renderTable(columns, rows, terminal);
}

function roleRow(role: string, tensors: readonly ModelTensor[], model: SourceModel): string[] {
  const weights = sum(tensors, ({ elements }) => elements);
  const size = sum(tensors, ({ byteLength }) => byteLength);
  return [
    role,
    integer(tensors.length),
    typeCounts(tensors),
    count(weights),
    bytes(size),
    percent(size / model.byteLength),
    ((size * 8) / weights).toFixed(2),
  ];
}

function typeCounts(tensors: readonly ModelTensor[]): string {
  const counts = new Map<string, number>();
  for (const { type } of tensors) counts.set(type, (counts.get(type) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  return sorted.length === 1 ? sorted[0][0] : sorted.map(([type, amount]) => `${type} ${amount}`).join(', ');
}

function tensorTable(model: SourceModel, terminal: Terminal): string[] {
  const rows = model.tensors.map((tensor) => [
    tensor.name,
    tensor.role,
    tensor.type,
    tensor.shape.map((axis) => String(axis)).join(terminal.unicode ? ' × ' : ' x '),
    integer(tensor.byteLength),
  ]);
  const columns = [
    { title: 'tensor', align: 'left', flexible: true },
    { title: 'role', align: 'left' },
    { title: 'type', align: 'left' },
    { title: 'shape (row first)', align: 'left' },
    { title: 'bytes', align: 'right' },
  ] as const;
  return renderTable(columns, rows, terminal);
}

function sum<Item>(items: readonly Item[], value: (item: Item) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
