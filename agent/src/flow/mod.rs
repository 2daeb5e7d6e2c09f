//! Flow table of fixed capacity: packets in, flow records out.

pub mod fragment;
