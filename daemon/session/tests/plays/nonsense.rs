//! Nonsense
