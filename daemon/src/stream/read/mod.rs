//! Bytes in, stanzas out: one parser, and its limits.

pub(super) mod limits;
mod namespaces;
#[cfg(test)]
mod oracle;
pub(super) mod reader;
pub(super) mod scanner;
pub(super) mod stage;
mod text;
mod tree;
mod unit;
