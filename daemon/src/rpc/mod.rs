//! The doors for UIs: JSON-RPC over WebSocket and POST, and the pictures.

mod answer;
mod calls;
mod connection;
mod console;
mod endpoint;
mod envelope;
mod frames;
mod guard;
mod http;
mod limits;
mod listeners;
mod methods;
mod metrics;
mod muted_socket;
mod nearest;
mod order;
mod picture;
mod picture_key;
#[cfg(test)]
mod script;
mod server;
mod sessions;
mod spoofing;
mod state;
mod subscriptions;
#[cfg(test)]
mod tests;
mod text_limits;
mod token;
mod translate;
mod truncate;
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
