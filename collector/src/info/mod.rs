//! Who is that address: kind of address, country and network, and what the internet says of it.
//!
//! Enters: addresses. Leaves: a [`Place`] for each that a database knows. Databases are local files; nothing is asked of anybody here.

pub mod geo;

pub use geo::{Country, Geo, Place};
