//! The doors to UIs: JSON-RPC over WebSocket and POST, and the pictures.

mod deceit;
mod endpoint;
mod guard;
mod order;
mod token;
mod translate;
