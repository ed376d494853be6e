export * from "./prosed.js";
