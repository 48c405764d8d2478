// An engine that answers every request with two events and what it was given.
process.on('message', ({ id, parameters }) => {
  for (const event of [1, 2]) process.send({ id, type: 'event', event });
  process.send({ id, type: 'result', result: { parameters, process: process.pid } });
});
process.on('disconnect', () => process.exit(0));
