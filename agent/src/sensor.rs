//! The packet path as one value: frame in, records out.
