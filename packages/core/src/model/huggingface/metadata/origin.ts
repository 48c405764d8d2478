/** @file What a model card says of a base model or a data set: an id on the hub, an address, or a description. */
import { isJsonObject, type JsonObject } from '../folder.js';
import { idToTitle, modelIdParts } from './model-id.js';

export type Origin = JsonObject;

const HUB = 'https://huggingface.co';

export function originOf(item: unknown, parameterCount: number): Origin {
  if (isJsonObject(item)) return item;
  if (typeof item !== 'string') return {};
  if (!/^(https?|ssh):\/\//.test(item)) return fromId(item, parameterCount, true);
  const id = /^https?:\/\/huggingface.co\/([^/]+\/[^/]+)$/.exec(item)?.[1];
  return { repo_url: item, ...(id === undefined ? {} : fromId(id, parameterCount, false)) };
}

function fromId(id: string, parameterCount: number, withAddress: boolean): Origin {
  const { name, organization, version } = modelIdParts(id, parameterCount);
  return {
    name: name === undefined ? undefined : idToTitle(name),
    organization: organization === undefined ? undefined : idToTitle(organization),
    version,
    ...(withAddress && name !== undefined && organization !== undefined
      ? { repo_url: `${HUB}/${organization}/${name}` }
      : {}),
  };
}
