// A certified authorization server for the tests: node provider.mjs FOLDER_WITH_NODE_MODULES [PORT]
// It listens on that loopback port or a free one, prints `listening on http://127.0.0.1:PORT`, and ends with its standard input.
//
// Client `caller` gets tokens by client_credentials: opaque ones, or JWTs with `resource=urn:jwt`.
// Client `gateway` introspects by client_secret_basic. Its secret has characters that RFC 6749 wants encoded.

import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const entry = join(process.argv[2], 'node_modules/oidc-provider/lib/index.js');
const { Provider } = await import(pathToFileURL(entry));

/** Everything in memory, gone with the process. */
class MemoryAdapter {
  static #entries = new Map();
  #kind;

  constructor(kind) { this.#kind = kind; }

  #key(id) { return `${this.#kind}:${id}`; }

  async upsert(id, payload) { MemoryAdapter.#entries.set(this.#key(id), payload); }

  async find(id) { return MemoryAdapter.#entries.get(this.#key(id)); }

  async findByUid(uid) { return this.#search((payload) => payload.uid === uid); }

  async findByUserCode(code) { return this.#search((payload) => payload.userCode === code); }

  async consume(id) { MemoryAdapter.#entries.get(this.#key(id)).consumed = Math.floor(Date.now() / 1000); }

  async destroy(id) { MemoryAdapter.#entries.delete(this.#key(id)); }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of MemoryAdapter.#entries) {
      if (payload.grantId === grantId) MemoryAdapter.#entries.delete(key);
    }
  }

  #search(matches) { return [...MemoryAdapter.#entries.values()].find(matches); }
}

const server = createServer();
await new Promise((listening) => server.listen(Number(process.argv[3] ?? 0), '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const client = (client_id, client_secret) => ({
  client_id,
  client_secret,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  token_endpoint_auth_method: 'client_secret_basic',
});

const provider = new Provider(issuer, {
  adapter: MemoryAdapter,
  clients: [client('caller', 'caller-secret'), client('gateway', 'p%ss+w/rd: 1')],
  scopes: ['read', 'write'],
  ttl: { ClientCredentials: 600 },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: async () => true },
    revocation: { enabled: true, allowedPolicy: async () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: async () => undefined,
      getResourceServerInfo: async () => ({
        scope: 'read write',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});
server.on('request', provider.callback());

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
console.log(`listening on ${issuer}`);
