// Opens ONNX files with Netron's own parser and prints what it saw of each as JSON.
// node netron_open.mjs FOLDER FILE…, where FOLDER has Netron's modules and a package.json of the type "module".
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import * as url from 'node:url';

const [folder, ...files] = process.argv.slice(2);
const load = (id) => import(url.pathToFileURL(path.join(folder, `${id}.js`)).href);
const base = await load('base');
const view = await load('view');
const errors = [];
const host = {
    environment: () => null,
    event: () => {},
    exception: (error) => errors.push(error),
    require: (id) => load(id),
    document: null
};

class Context {
    constructor(identifier, stream) {
        this.identifier = identifier;
        this.stream = stream;
        this.entries = new Map();
    }
    async asset(name) {
        return fs.readFile(path.join(folder, name), 'utf-8');
    }
    async require(id) {
        return load(id);
    }
    async fetch() {
        throw new Error('there are no other files');
    }
    error(error) {
        errors.push(error);
    }
}

const seen = {};
for (const file of files) {
    const stream = new base.BinaryStream(new Uint8Array(await fs.readFile(file)));
    const model = await new view.ModelFactoryService(host).open(new Context(path.basename(file), stream));
    const [graph] = model.modules || model.graphs;
    seen[path.basename(file)] = {
        format: model.format,
        producer: model.producer,
        inputs: graph.inputs.map((input) => input.name),
        outputs: graph.outputs.map((output) => output.name),
        shape: `${graph.inputs[0].value[0].type}`,
        nodes: graph.nodes.map((node) => [node.type.name, node.name])
    };
}
if (errors.length > 0) {
    throw errors[0];
}
console.log(JSON.stringify(seen));
