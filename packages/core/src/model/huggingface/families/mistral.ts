/** @file Mistral: to llama.cpp it is Llama, with configuration defaults of its own. */
import type { Family } from '../family.js';
import { llama } from './llama.js';

export const mistral: Family = { ...llama, architectures: ['MistralForCausalLM'] };
