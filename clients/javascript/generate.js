// Writes what follows from ../../protocol/openrpc.json: the methods, and the types of all that is said.
//
//   node generate.js            writes src/api.js and src/api.d.ts
//   node generate.js --check    says whether they are as they would be written

import { readFileSync, writeFileSync } from "node:fs";

const here = (path) => new URL(path, import.meta.url);
const document = JSON.parse(readFileSync(here("../../protocol/openrpc.json"), "utf8"));
const WIDTH = 100;

/** The names that every program in JavaScript has already. */
const RENAMED = { Error: "ErrorObject", Event: "ProsedEvent" };
const named = (name) => RENAMED[name] ?? name;

// --- schemas ---------------------------------------------------------------------------------------

/** The TypeScript of a schema, for a line that is indented so far. */
function typeOf(schema, indent = "") {
  if (schema.$ref) return named(schema.$ref.split("/").at(-1));
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const parts = [];
  if (schema.allOf) parts.push(...schema.allOf.map((part) => typeOf(part, indent)));
  if (schema.anyOf) parts.push(schema.anyOf.map((part) => typeOf(part, indent)).join(" | "));
  if (schema.oneOf) {
    const union = schema.oneOf.map((part) => typeOf(part, indent)).join(" | ");
    parts.push(schema.properties || schema.allOf ? `(${union})` : union);
  }
  if (schema.properties) parts.push(objectOf(schema, indent));
  if (parts.length > 0) return parts.join(" & ");
  switch (schema.type) {
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    case "integer":
    case "number":
      return "number";
    case "array": {
      const item = typeOf(schema.items, indent);
      return item.includes(" ") ? `Array<${item}>` : `${item}[]`;
    }
    case "object":
      return "Record<string, unknown>";
    default:
      throw new Error(`no type for ${JSON.stringify(schema)}`);
  }
}

function objectOf({ properties, required = [] }, indent) {
  const [[only, { const: value }], ...others] = Object.entries(properties);
  if (value !== undefined && others.length === 0) return `{ ${only}: ${JSON.stringify(value)} }`;
  const inner = `${indent}  `;
  const lines = Object.entries(properties).map(([name, schema]) => {
    const sign = required.includes(name) ? "" : "?";
    const { description, ...rest } = schema;
    return `${comment(description, inner)}${inner}${name}${sign}: ${typeOf(rest, inner)};`;
  });
  return `{\n${lines.join("\n")}\n${indent}}`;
}

/** A type with a name: an interface where it is an object, else an alias. */
function definition(name, schema) {
  if (schema.enum) {
    const lines = schema.enum.map((word) => `${comment(schema["x-meanings"]?.[word], "  ")}  | ${JSON.stringify(word)}`);
    // A newer daemon may say other words: editors go on offering those that are known.
    if (schema["x-extensible-enum"]) lines.push("  | (string & {})");
    return `${comment(schema.description, "")}export type ${name} =\n${lines.join("\n")};\n`;
  }
  const isObject = schema.properties && !schema.oneOf && !schema.allOf;
  const head = comment(schema.description, "");
  if (isObject) return `${head}export interface ${name} ${objectOf(schema, "")}\n`;
  if (!schema.oneOf) return `${head}export type ${name} = ${typeOf(schema)};\n`;
  const { properties, required } = schema;
  const lines = schema.oneOf.map((one) => `${comment(one.description, "  ")}  | ${typeOf(one, "  ")}`);
  const union = lines.join("\n");
  if (!properties) return `${head}export type ${name} =\n${union};\n`;
  return `${head}export type ${name} = ${objectOf({ properties, required }, "")} & (\n${union}\n);\n`;
}

// --- methods ---------------------------------------------------------------------------------------

const isSubscription = ({ name }) => /^(un)?subscribe(_[a-z]+[A-Z]|$)/.test(name);
const camelCase = (name) => name.replace(/^rpc\./, "").replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const pascalCase = (name) => camelCase(name).replace(/^./, (letter) => letter.toUpperCase());

/** `events()` sees to subscriptions. */
const methods = document.methods.filter((method) => !isSubscription(method));

function paramsOf({ params }) {
  const properties = Object.fromEntries(
    params.map(({ name, description, schema }) => [name, { ...schema, description }]),
  );
  const required = params.filter((param) => param.required).map(({ name }) => name);
  return { properties, required };
}

function paramsName(method) {
  return method.params.length > 0 ? `${pascalCase(method.name)}Params` : "Record<string, never>";
}

function signature(method) {
  const kinds = (method.errors ?? []).map(({ $ref }) => $ref.split("/").at(-1));
  const text = [method.summary, method.description, kinds.length > 0 && `@throws {ProsedError} ${kinds.join(", ")}`];
  const sign = method.params.some((param) => param.required) ? "" : "?";
  const head = comment(text.filter(Boolean).join("\n\n"), "  ");
  const result = typeOf(method.result.schema, "  ");
    const params = `params${sign}: ${paramsName(method)}, options?: CallOptions`;
  return `${head}  ${camelCase(method.name)}(${params}): Promise<${result}>;`;
}

// --- text ------------------------------------------------------------------------------------------

function comment(text, indent) {
  if (!text) return "";
  const room = WIDTH - indent.length - 3;
  const lines = text.replaceAll("*/", "*\\/").split("\n").flatMap((line) => wrap(line, room));
  const short = lines.length === 1 && lines[0].length <= room - 4;
  if (short) return `${indent}/** ${lines[0]} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}`.trimEnd()).join("\n")}\n${indent} */\n`;
}

function wrap(line, room) {
  const lines = [""];
  for (const word of line.split(" ")) {
    const last = lines.at(-1);
    if (last && last.length + 1 + word.length > room) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines;
}

const HEAD = "// Generated from protocol/openrpc.json by generate.js: don't edit.\n";

const types = [
  HEAD,
  `import type { CallOptions } from "./prosed.js";\n`,
  `/** The methods of the API, by the names that JavaScript gives them. */
export interface Methods {
${methods.map(signature).join("\n\n")}
}
`,
  ...methods
    .filter(({ params }) => params.length > 0)
    .map((method) => {
      const name = camelCase(method.name);
      return definition(paramsName(method), { ...paramsOf(method), description: `The parameters of \`${name}\`.` });
    }),
  ...Object.entries(document.components.schemas)
    .filter(([name]) => name !== "SubscriptionId")
    .map(([name, schema]) => definition(named(name), schema)),
].join("\n");

const names = methods.map(({ name }) => `  ${camelCase(name)}: ${JSON.stringify(name)},`);
const code = `${HEAD}
/** The methods of the API, by the names that JavaScript gives them. */
export const METHODS = {
${names.join("\n")}
};
`;

const check = process.argv.includes("--check");
for (const [path, text] of [
  ["src/api.js", code],
  ["src/api.d.ts", types],
]) {
  if (!check) writeFileSync(here(path), text);
  else if (readFileSync(here(path), "utf8") !== text) {
    console.error(`${path} is not what protocol/openrpc.json says: run node generate.js`);
    process.exitCode = 1;
  }
}
