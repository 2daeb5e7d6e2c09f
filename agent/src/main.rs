//! `slips-agent`: the sensor's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(slips_agent::program::main(std::env::args_os().skip(1)))
}
