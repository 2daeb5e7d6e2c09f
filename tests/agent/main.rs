//! Tests of `agent`, one binary for link time; one module a subject.
#![allow(dead_code, reason = "each binary uses its part of the shared helpers")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod capture;
mod decode;
mod determinism;
#[cfg(target_os = "linux")]
mod dump;
#[cfg(target_os = "linux")]
mod enforce;
mod filter;
mod handshakes;
#[cfg(target_os = "linux")]
mod live;
mod messages;
mod mutate;
mod totals;
mod wire;
mod zeek;
