/** @file What the operating system says of files, in the project's own errors. */
import { BitsmithError } from '@bitsmith/formats';

type Access = 'read' | 'write';

const causes: Record<string, (path: string, access: Access, cause: unknown) => BitsmithError> = {
  ENOENT: (path, access, cause) => missing(path, access, cause),
  ENOTDIR: (path, access, cause) => missing(path, access, cause),
  EEXIST: (path, access, cause) => missing(path, access, cause),
  EACCES: (path, access, cause) => denied(path, access, cause),
  EPERM: (path, access, cause) => denied(path, access, cause),
  EROFS: (path, access, cause) => denied(path, access, cause),
  EISDIR: (path, _access, cause) =>
    new BitsmithError('arguments', 'FILE_IS_FOLDER', `expected a file, found a folder: ${path}`, { cause }),
  ENOSPC: (path, _access, cause) => full(path, cause),
  EDQUOT: (path, _access, cause) => full(path, cause),
  EFBIG: (path, _access, cause) => full(path, cause),
  ENOMEM: (path, access, cause) =>
    new BitsmithError('resources', 'MEMORY_EXHAUSTED', `not enough memory to ${access} ${path}`, {
      suggestion: 'Close other programs, or take a machine with more memory. Finished work is kept.',
      cause,
    }),
  EIO: (path, access, cause) =>
    new BitsmithError('resources', 'DISK_FAILED', `the disk failed to ${access} ${path}`, {
      suggestion: 'Check the disk, or use another one. Finished work is kept.',
      cause,
    }),
};

/** Also where a file stands in the place of a folder of the path. */
function missing(path: string, access: Access, cause: unknown): BitsmithError {
  return access === 'read'
    ? new BitsmithError('model-not-found', 'FILE_NOT_FOUND', `no such file or folder: ${path}`, {
        suggestion: 'Check the path.',
        cause,
      })
    : new BitsmithError('arguments', 'FOLDER_NOT_FOUND', `the folder to write to does not exist: ${path}`, {
        suggestion: 'Create it, or name another output with -o.',
        cause,
      });
}

function denied(path: string, access: Access, cause: unknown): BitsmithError {
  return access === 'read'
    ? new BitsmithError('model-not-found', 'FILE_UNREADABLE', `not allowed to read ${path}`, {
        suggestion: 'Change the permissions of the file, or run as a user who may read it.',
        cause,
      })
    : new BitsmithError('resources', 'OUTPUT_READ_ONLY', `not allowed to write ${path}`, {
        suggestion: 'Choose an output on a disk and in a folder that you may write to.',
        cause,
      });
}

function full(path: string, cause: unknown): BitsmithError {
  return new BitsmithError('resources', 'DISK_FULL', `no space left on the disk of ${path}`, {
    suggestion:
      'Free some space (`bitsmith cache gc` drops old artifacts) and run the same command again: finished work is kept.',
    cause,
  });
}

/** Turns an `errno` failure into a coded error; anything else passes through unchanged. */
export function fileError(error: unknown, path: string, access: Access): unknown {
  if (error instanceof BitsmithError) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const make = code === undefined ? undefined : causes[code];
  return make === undefined ? error : make(path, access, error);
}
