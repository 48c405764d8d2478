/** @file Chat templates: one text, or several by name, from wherever the folder keeps them. */
import { isJsonObject, type JsonObject, type ModelFolder } from '../folder.js';
import type { MetadataBuilder } from '../metadata-builder.js';

export type ChatTemplate = string | readonly NamedTemplate[];

export interface NamedTemplate {
  readonly name: string;
  readonly template: string;
}

/** tokenizer_config.json comes first; then chat_template.jinja (with its additional templates), then chat_template.json. */
export async function readChatTemplate(
  folder: ModelFolder,
  tokenizerConfig: JsonObject,
  signal?: AbortSignal,
): Promise<ChatTemplate | undefined> {
  if (Object.hasOwn(tokenizerConfig, 'chat_template')) return asTemplate(tokenizerConfig.chat_template);
  if (folder.has('chat_template.jinja')) return readTemplateFiles(folder, signal);
  const file = await folder.json('chat_template.json', signal);
  return asTemplate(file?.chat_template);
}

async function readTemplateFiles(folder: ModelFolder, signal?: AbortSignal): Promise<ChatTemplate> {
  const template = await folder.text('chat_template.jinja', signal);
  const additional = [...folder.files].filter((file) =>
    /^additional_chat_templates\/[^/]+\.jinja$/.test(file),
  );
  if (additional.length === 0) return template;
  const named: NamedTemplate[] = [{ name: 'default', template }];
  for (const file of additional.sort()) {
    const name = file.slice(file.indexOf('/') + 1, -'.jinja'.length);
    named.push({ name, template: await folder.text(file, signal) });
  }
  return named;
}

function asTemplate(value: unknown): ChatTemplate | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  return value.flatMap((item) => {
    if (!isJsonObject(item) || typeof item.name !== 'string' || typeof item.template !== 'string') return [];
    return [{ name: item.name, template: item.template }];
  });
}

export function writeChatTemplate(metadata: MetadataBuilder, chatTemplate: ChatTemplate): void {
  if (typeof chatTemplate === 'string') {
    metadata.string('tokenizer.chat_template', chatTemplate);
    return;
  }
  const names = new Set<string>();
  let standard: string | undefined;
  for (const { name: given, template } of chatTemplate) {
    const name = given.replaceAll(/[^A-Za-z0-9]/gu, '_');
    if (name === '') continue;
    if (name === 'default') {
      standard = template;
    } else {
      names.add(name);
      metadata.string(`tokenizer.chat_template.${name}`, template);
    }
  }
  metadata.stringArray('tokenizer.chat_templates', [...names]);
  if (standard !== undefined) metadata.string('tokenizer.chat_template', standard);
}
