//! A stand-in for the accounts, for tests.
