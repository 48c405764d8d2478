// An engine that takes requests and never answers.
process.on('message', ({ id }) => process.send({ id, type: 'event', event: { process: process.pid } }));
process.on('disconnect', () => process.exit(0));
