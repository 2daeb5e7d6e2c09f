//! Tests of `e2e`, one binary for link time; one module a subject.
#![allow(dead_code, reason = "each binary uses its part of the shared helpers")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/pty.rs"]
mod pty;

#[cfg(target_os = "linux")]
mod agent;
#[cfg(target_os = "linux")]
mod blocking;
mod features;
mod fleet;
mod kalipso;
mod kalipso_keys;
mod link;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod memory;
mod privacy;
mod tls;
