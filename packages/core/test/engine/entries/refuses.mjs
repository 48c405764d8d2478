// An engine that refuses every task with an error of its own.
process.on('message', ({ id }) => {
  const error = { status: 'error', errorCode: 6, errorType: 'WEIGHT_NOT_FINITE', kind: 'validation' };
  process.send({ id, type: 'error', error: { ...error, message: 'damaged', suggestion: 'export it again' } });
});
process.on('disconnect', () => process.exit(0));
