//! `slips`: the collector's command line.

fn main() {}
