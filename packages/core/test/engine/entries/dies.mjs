// An engine that dies as it is told.
process.on('message', ({ parameters: { how } }) => {
  process.stderr.write(`GGML_ASSERT failed: ${how}\n`, () => {
    if (how === 'exit') process.exit(7);
    process.kill(process.pid, how === 'kill' ? 'SIGKILL' : 'SIGABRT');
  });
});
process.on('disconnect', () => process.exit(0));
