//! The doors for UIs: JSON-RPC over WebSocket and POST, and the pictures.

mod answer;
mod calls;
mod connection;
mod console;
mod deceit;
mod endpoint;
mod envelope;
mod fit;
mod frames;
mod guard;
mod http;
mod limits;
mod listeners;
mod methods;
mod metrics;
mod nearest;
mod order;
mod picture;
mod picture_key;
mod quiet;
#[cfg(test)]
mod script;
mod server;
mod sessions;
mod state;
mod subscriptions;
#[cfg(test)]
mod tests;
mod texts;
mod token;
mod translate;
mod visitors;
mod websocket;

pub(crate) use endpoint::RunFile;
pub(crate) use listeners::{Listeners, SocketFile};
pub(crate) use methods::Images;
pub(crate) use metrics::DoorMetrics;
pub(crate) use picture_key::PictureKey;
pub(crate) use server::{Doors, Services, serve};
pub(crate) use token::Token;
pub(crate) use translate::Translator;
