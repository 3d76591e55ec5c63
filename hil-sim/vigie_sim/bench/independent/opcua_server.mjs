// An OPC UA server on node-opcua. Arguments: the folder node-opcua was installed in, a folder for its keys.
// Prints one line of JSON: port and the SHA-1 thumbprint of its certificate. Ends when its input does.
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";

const [installed, folder] = process.argv.slice(2);
const ua = createRequire(join(installed, "package.json"))("node-opcua");

const port = await new Promise((found) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => found(port));
  });
});
const certificates = new ua.OPCUACertificateManager({
  rootFolder: join(folder, "pki"),
  automaticallyAcceptUnknownCertificate: true,
});
const server = new ua.OPCUAServer({
  port,
  hostname: "127.0.0.1",
  alternateHostname: ["127.0.0.1"],
  serverCertificateManager: certificates,
  securityPolicies: [
    ua.SecurityPolicy.None,
    ua.SecurityPolicy.Basic256Sha256,
    ua.SecurityPolicy.Aes128_Sha256_RsaOaep,
    ua.SecurityPolicy.Aes256_Sha256_RsaPss,
  ],
  securityModes: [ua.MessageSecurityMode.None, ua.MessageSecurityMode.SignAndEncrypt],
});
await server.initialize();

const space = server.engine.addressSpace.registerNamespace("urn:vigie:independent");
const held = {
  double: ["Double", 1.5], float: ["Float", 2.5], int16: ["Int16", -3], int32: ["Int32", -4],
  uint16: ["UInt16", 5], uint32: ["UInt32", 6], byte: ["Byte", 7], boolean: ["Boolean", true],
  string: ["String", "Montréal"], word: ["UInt16", 0x20], locked: ["Int32", 9],
};
for (const [name, [dataType, value]] of Object.entries(held)) {
  const variable = space.addVariable({
    browseName: name,
    nodeId: `s=${name}`,
    dataType,
    accessLevel: name === "locked" ? "CurrentRead" : "CurrentRead | CurrentWrite",
    userAccessLevel: name === "locked" ? "CurrentRead" : "CurrentRead | CurrentWrite",
    organizedBy: server.engine.addressSpace.rootFolder.objects,
  });
  variable.setValueFromSource({ dataType: ua.DataType[dataType], value });
}
space.addVariable({
  browseName: "row",
  nodeId: "s=row",
  dataType: "Int32",
  valueRank: 1,
  arrayDimensions: [4],
  accessLevel: "CurrentRead | CurrentWrite",
  userAccessLevel: "CurrentRead | CurrentWrite",
  organizedBy: server.engine.addressSpace.rootFolder.objects,
}).setValueFromSource({
  dataType: ua.DataType.Int32,
  arrayType: ua.VariantArrayType.Array,
  value: new Int32Array([1, 2, 3, 4]),
});
const count = space.addVariable({
  browseName: "count",
  nodeId: "s=count",
  dataType: "Int32",
  organizedBy: server.engine.addressSpace.rootFolder.objects,
});
let number = 0;
setInterval(() => count.setValueFromSource({ dataType: ua.DataType.Int32, value: number++ }), 50);

await server.start();
const certificate = server.getCertificate();
const print = createHash("sha1").update(certificate).digest("hex");
process.stdout.write(`${JSON.stringify({ port, print })}\n`);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
