/**
 * Serves a folder as a Hub: `npx tsx test/support/hub/serve.ts <folder> [port]`, then
 * `HF_ENDPOINT=http://127.0.0.1:<port> npm run prepare-data`. What is pushed with `HF_TOKEN=hf_test` to `test/…` is
 * kept in memory; `UPLOAD_MODE=xet` takes it as Xet.
 */
import { startTestHub } from './server.ts';

const [folder, port] = process.argv.slice(2);
if (folder === undefined || (port !== undefined && !/^\d+$/.test(port))) {
  process.stderr.write('usage: npx tsx test/support/hub/serve.ts <folder> [port]\n');
  process.exitCode = 2;
} else {
  const hub = await startTestHub({
    root: folder,
    accounts: { hf_test: { name: 'test' } },
    uploadMode: process.env.UPLOAD_MODE === 'xet' ? 'xet' : 'basic',
    ...(port === undefined ? {} : { port: Number(port) }),
  });
  process.stdout.write(`HF_ENDPOINT=${hub.endpoint}\n`);
}
