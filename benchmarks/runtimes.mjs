// Times two models in turns in onnxruntime-node or -web: see runtimes.py, which calls it.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const asked = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const load = createRequire(path.join(asked.modules, 'package.json'));
const ort = load(asked.package);
if (asked.package === 'onnxruntime-web') ort.env.wasm.numThreads = 1;

const KINDS = { float32: Float32Array, int64: BigInt64Array, int32: Int32Array, bool: Uint8Array };
const feeds = {};
for (const [name, { type, dims, file }] of Object.entries(asked.feeds)) {
  const bytes = fs.readFileSync(file);
  const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  feeds[name] = new ort.Tensor(type, new KINDS[type](copy), dims);
}

const options = { intraOpNumThreads: 1, interOpNumThreads: 1 };
const models = [];
for (const file of asked.models) {
  models.push(await ort.InferenceSession.create(new Uint8Array(fs.readFileSync(file)), options));
}
const outputs = [];
for (const session of models) outputs.push(await session.run(feeds));
const times = models.map(() => []);
const start = performance.now();
while (times[0].length < 5 || (performance.now() - start < 1e3 * asked.seconds && times[0].length < 200)) {
  for (const index of times[0].length % 2 ? [1, 0] : [0, 1]) {
    const before = process.cpuUsage();
    await models[index].run(feeds);
    const { user, system } = process.cpuUsage(before);
    times[index].push((user + system) / 1e3);
  }
}
const first = outputs.map((each) => Array.from(each[asked.output].data, Number));
fs.writeFileSync(asked.result, JSON.stringify({ times, outputs: first }));
process.exit(0);
