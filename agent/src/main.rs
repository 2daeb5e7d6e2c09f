//! `slips-agent`: the sensor's command line.

fn main() {}
