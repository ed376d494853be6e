//! The prosed daemon: a thin shell of I/O around the pure sessions of `prosed-session`.

mod accounts;
mod actor;
mod cache;
mod config;
mod credentials;
mod events;
mod files;
mod registry;
mod rpc;
mod service;
mod stream;

fn main() {}
